// Chooses light or dark before the page is drawn.
const kept = localStorage.getItem("theme");
if (kept) document.documentElement.dataset.theme = kept;
