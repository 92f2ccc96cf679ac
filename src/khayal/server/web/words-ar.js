// What the page says, in Arabic.

export const ar = {
  // the eight verbs
  generate: "ولّد", animate: "حرّك", extend: "مدّد", fill: "املأ", connect: "صِل",
  loop: "كرّر", remix: "أعد التخيّل", storyboard: "لوحة القصة",
  "generate-it": "مقطع", "animate-it": "صورة تتحرّك", "extend-it": "مقطع يستمرّ",
  "fill-it": "مقطع اكتمل", "connect-it": "مقطعان صارا واحدًا", "loop-it": "مقطع بلا نهاية",
  "remix-it": "مقطع أُعيد تخيّله", "storyboard-it": "لوحة قصة",
  "extend-says": "يجعل المقطع يستمرّ، أو يبدأ قبل بدايته.",
  "fill-says": "يتخيّل جزءًا من المقطع من جديد ليوافق ما قبله وما بعده.",
  "loop-says": "يضيف ما يعود بالنهاية إلى البداية.",
  "connect-says": "يصل هذا المقطع بمقطع آخر.",
  "remix-says": "يتخيّل المقطع من جديد: قليلًا، أو من لا شيء تقريبًا.",

  // around
  skip: "انتقل إلى المقاطع", home: "خيال: إلى المكتبة", views: "الأقسام", library: "المكتبة",
  search: "ابحث", more: "أظهر المزيد", composer: "اصنع مقطعًا", close: "أغلق", cancel: "ألغِ",
  darker: "ألوان داكنة", lighter: "ألوان فاتحة",
  welcome: "ماذا تتخيّل؟",
  "welcome-more": "اكتبه في الأسفل وشاهده يتشكّل. أو ابدأ بواحد من هذه:",
  "idea-1": "كرة حمراء ترتد على العشب", "idea-2": "مكعب أزرق ينزلق إلى اليسار على الثلج",
  "idea-3": "كرة صفراء تتدحرج إلى اليمين في غرفة", "idea-4": "كرة حمراء تتدحرج على الثلج",
  "nothing-found": "لا وصف فيه «{words}».",

  // the prompt box
  prompt: "الوصف", "prompt-hint": "صِف ما يحدث…", "add-picture": "ابدأ بصورة",
  "another-picture": "أضف صورة لوقت آخر", "your-picture": "صورتك", "remove-picture": "أزل الصورة",
  "at-second": "عند الثانية", "picture-at": "الصورة {number}: عند الثانية",
  "picture-says": "يبدأ المقطع بهذه الصورة. أضف أخرى لينتقل من واحدة إلى التالية.",
  "pictures-say": "يمرّ المقطع بكلّ صورة عند ثانيتها.",
  model: "النموذج", size: "الأبعاد", length: "الثواني", variations: "النسخ", finer: "إعدادات أخرى",
  "own-size": "الأصل", wide: "أفقي", tall: "عمودي", square: "مربّع",
  seed: "البذرة", any: "أيّ", steps: "الخطوات", guidance: "التوجيه", negative: "ابتعد عن",
  "say-what": "قل ما يُظهره المقطع.", "is-begun": "يجري تخيّله الآن.", "are-begun": "يجري تخيّلها الآن.",
  "no-picture": "ليست هذه صورة.", "too-large": "الصورة كبيرة جدًّا: 24 م.ب على الأكثر.",
  unreadable: "لا يمكن قراءة الصورة.", "picture-again": "أضف الصورة من جديد: لم تعد محفوظة.",

  // characters
  character: "شخصية", characters: "الشخصيات", "show-character": "أظهر شخصية", "leave-out": "اترك {name}",
  "character-says": "يحفظ من يُظهره هذا المقطع، ليظهر من جديد في مقاطع أخرى.",
  "keep-character": "احفظ", "name-hint": "أفضل الأسماء ما يصف الشكل: كرة حمراء.",
  "say-name": "أعطها اسمًا.", "choose-clip": "مقطع يُظهرها", "no-clip": "اختر مقطعًا.", "is-kept": "حُفظت «{name}». يمكن الآن إظهارها في الأوصاف ولوحات القصة.",
  nobody: "لا شخصية محفوظة بعد. افتح مقطعًا واضغط «شخصية»، أو ابدأ من هنا:",
  "keep-from-file": "احفظ واحدة من مقطع لديك",
  "delete-character": "احذف {name}", "sure-character": "أتحذف «{name}» نهائيًّا؟",
  "not-together": "لا تجتمع الشخصيات مع صور عدّة: اترك أحدهما.",

  // how far it is
  progress: "التقدّم", waiting: "ينتظر", "before-it": "قبله {count}", beginning: "يقرأ الوصف",
  step: "الخطوة {step} من {steps}", developing: "يُظهَّر", stopping: "يتوقّف",
  failed: "تعذّر صنعه", cancelled: "أُلغي", expired: "حُفظ مدّته ثم أُزيل",
  "is-ready": "جاهز: {title}", "was-cancelled": "أُلغي.",

  // a result
  download: "نزّل", again: "استعمل ثانيةً", delete: "احذف", keep: "أبقِه", sure: "أتحذف هذا المقطع نهائيًّا؟",
  deleted: "حُذف.", "make-more": "اصنع منه غيره", notes: "ملاحظات", source: "ما صُنع منه",
  lasts: "الطول", rate: "المعدّل", fps: "{rate} إطار/ث", "made-at": "صُنع بأبعاد", made: "صُنع", took: "استغرق", strength: "القوّة",
  "no-source": "ما صُنع منه ليس مقطعًا في هذه المكتبة.",
  "prompt-next": "ماذا يحدث", "prompt-remix": "ماذا يُظهر الآن",
  adds: "ثوانٍ تُضاف", between: "ثوانٍ بينهما", where: "الموضع", after: "بعد النهاية", before: "قبل البداية",
  from: "من", to: "إلى", span: "من {from} إلى {to}", with: "صِله بـ", "no-others": "لا مقطع آخر بعد.",
  subtle: "خفيفة", mild: "متوسّطة", strong: "قويّة",

  // the storyboard
  "storyboard-says": "لقطات تجمعها الشخصيات نفسها والأماكن نفسها.",
  "storyboard-make": "اصنع لوحة القصة", ruler: "اللقطات في الزمن", shot: "اللقطة {number}", "go-to-shot": "انتقل إلى اللقطة {number}",
  "shot-hint": "ما تُظهره هذه اللقطة…", "first-picture": "الصورة الأولى", earlier: "قدّمها", later: "أخّرها",
  "remove-shot": "أزل اللقطة", "goes-on": "تستمرّ بلا قطع", "add-shot": "أضف لقطة",
  total: "المجموع {seconds}", "empty-shot": "اللقطة {number} بلا وصف بعد.",
  cast: "الشخصيات", "cast-says": "سمِّ شخصية مرّة واحدة، ثم اكتب {name} في أيّ لقطة لتظهر فيها.", "add-cast": "أضف شخصية", "add-character": "أضف شخصية محفوظة",
  name: "الاسم", looks: "كيف تبدو", "cast-picture": "صورة لها", "cast-video": "المقطع الذي يُظهرها", "remove-cast": "أزلها من الشخصيات",
  whole: "للكلّ", everywhere: "يُقال عن كلّ لقطة",

  // the server
  "no-server": "الخادم لا يجيب.", "no-answer": "لا يمكن قراءة جواب الخادم.",
  opening: "يُفتح النموذج…",
  key: "مفتاح API", "key-title": "هذا الخادم يطلب مفتاحًا",
  "key-says": "يبقى في علامة التبويب هذه فقط. تُصنع المفاتيح بالأمر: khayal keys add NAME", "use-key": "استعمله",
};
