// Runs before the first paint, so that neither theme nor direction jumps.
(() => {
  const root = document.documentElement;
  const theme = localStorage.getItem("khayal-theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const spoken = (navigator.language || "en").startsWith("ar") ? "ar" : "en";
  const language = localStorage.getItem("khayal-language") || spoken;
  root.lang = language === "ar" ? "ar" : "en";
  root.dir = root.lang === "ar" ? "rtl" : "ltr";
})();
