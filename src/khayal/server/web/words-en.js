// What the page says, in English.

export const en = {
  // the eight verbs
  generate: "Generate", animate: "Animate", extend: "Extend", fill: "Fill", connect: "Connect",
  loop: "Loop", remix: "Remix", storyboard: "Storyboard",
  "generate-it": "A video", "animate-it": "A picture that moves", "extend-it": "A video that goes on",
  "fill-it": "A video made whole", "connect-it": "Two videos made one", "loop-it": "A video without an end",
  "remix-it": "A video imagined anew", "storyboard-it": "A storyboard",
  "extend-says": "Lets the video go on, or begin earlier.",
  "fill-says": "Imagines a part of the video again, so that it fits what is before and after.",
  "loop-says": "Adds what leads from the end back to the beginning.",
  "connect-says": "Leads from this video into another.",
  "remix-says": "Imagines the video anew: a little, or almost from nothing.",

  // around
  skip: "Skip to the videos", home: "khayal: to the library", views: "Views", library: "Library",
  search: "Search", more: "Show more", composer: "Make a video", close: "Close", cancel: "Cancel",
  darker: "Dark colours", lighter: "Light colours",
  welcome: "What do you imagine?",
  "welcome-more": "Write it below, and watch it form. Or begin with one of these:",
  "idea-1": "a red ball bounces on the grass", "idea-2": "a blue cube slides to the left on the snow",
  "idea-3": "a yellow ball rolls to the right in a room", "idea-4": "a green cube slides on the grass, by day",
  "nothing-found": "No prompt has “{words}” in it.",

  // the prompt box
  prompt: "Prompt", "prompt-hint": "Describe what happens…", "add-picture": "Begin with a picture",
  "another-picture": "Add a picture for another time", "your-picture": "Your picture", "remove-picture": "Remove the picture",
  "at-second": "at second", "picture-at": "Picture {number}: at second",
  "picture-says": "The video begins with this picture. Add another, and it leads from one to the next.",
  "pictures-say": "The video passes through each picture at its second.",
  model: "Model", size: "Size", length: "Seconds", variations: "Variations", finer: "More settings",
  "own-size": "native", wide: "wide", tall: "tall", square: "square",
  seed: "Seed", any: "any", steps: "Steps", guidance: "Guidance", negative: "Keep away from",
  "say-what": "Say what the video shows.", "is-begun": "It is being imagined.", "are-begun": "They are being imagined.",
  "no-picture": "That is not a picture.", "too-large": "The picture is too large: 24 MB at most.",
  unreadable: "The picture cannot be read.", "picture-again": "Add the picture again: it is not kept any more.",

  // characters
  character: "Character", characters: "Characters", "show-character": "Show a character", "leave-out": "Leave {name} out",
  "character-says": "Keeps whom this video shows, to be shown again in other videos.",
  "keep-character": "Keep", "name-hint": "A name that says what it looks like works best: red ball.",
  "say-name": "Give it a name.", "choose-clip": "A clip that shows it", "no-clip": "Choose a clip.", "is-kept": "“{name}” is kept. Prompts and storyboards can show it now.",
  nobody: "None is kept yet. Open a video and press “Character”, or begin here:",
  "keep-from-file": "Keep one from a clip of your own",
  "delete-character": "Delete {name}", "sure-character": "Delete “{name}” for good?",
  "not-together": "Characters do not go with several pictures: leave one of the two out.",

  // how far it is
  progress: "Progress", waiting: "Waiting", "before-it": "{count} before it", beginning: "Reading the prompt",
  step: "Step {step} of {steps}", developing: "Developing", stopping: "Stopping",
  failed: "It could not be made", cancelled: "Cancelled", expired: "It was kept for its time, and is gone",
  "is-ready": "Ready: {title}", "was-cancelled": "It was cancelled.",

  // a result
  download: "Download", again: "Use again", delete: "Delete", keep: "Keep", sure: "Delete this video for good?",
  deleted: "It was deleted.", "make-more": "Make another from it", notes: "Notes", source: "What it was made from",
  lasts: "Length", rate: "Rate", fps: "{rate} fps", "made-at": "Made at", made: "Made", took: "Took", strength: "Strength",
  "no-source": "What it was made from is not a video of this library.",
  "prompt-next": "What happens", "prompt-remix": "What it shows now",
  adds: "Seconds added", between: "Seconds between", where: "Where", after: "At the end", before: "At the start",
  from: "From", to: "To", span: "From {from} to {to}", with: "Connect with", "no-others": "There is no other video yet.",
  subtle: "Subtle", mild: "Mild", strong: "Strong",

  // the storyboard
  "storyboard-says": "Shots that belong together: the same characters, the same places.",
  "storyboard-make": "Make the storyboard", ruler: "Shots in time", shot: "Shot {number}", "go-to-shot": "Go to shot {number}",
  "shot-hint": "What this shot shows…", "first-picture": "First picture", earlier: "Move earlier", later: "Move later",
  "remove-shot": "Remove the shot", "goes-on": "Goes on without a cut", "add-shot": "Add a shot",
  total: "{seconds} in all", "empty-shot": "Shot {number} has no prompt yet.",
  cast: "Cast", "cast-says": "Name somebody once; write {name} in any shot to show them.", "add-cast": "Add somebody", "add-character": "Add a kept character",
  name: "Name", looks: "What they look like", "cast-picture": "A picture of them", "cast-video": "The video that shows them", "remove-cast": "Remove from the cast",
  whole: "For the whole", everywhere: "Said of every shot",

  // the server
  "no-server": "The server does not answer.", "no-answer": "The server’s answer cannot be read.",
  opening: "The model is being opened…",
  key: "API key", "key-title": "This server asks for a key",
  "key-says": "It stays in this tab only. Keys are made with: khayal keys add NAME", "use-key": "Use it",
};
