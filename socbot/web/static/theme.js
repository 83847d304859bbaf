// Before anything is drawn, so that nothing flashes: the theme that was chosen.
try { const theme = localStorage.getItem("theme"); if (theme) document.documentElement.dataset.theme = theme; } catch { /* no storage: the system's */ }
