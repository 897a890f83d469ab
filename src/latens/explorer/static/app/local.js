// A classic script, because a page opened as a local file may not load modules: it names the folder in the command.
"use strict";
(function () {
  var place = document.getElementById("folder");
  if (location.protocol !== "file:" || !place) return;
  var folder = decodeURIComponent(location.pathname).replace(/\/[^/]*$/, "") || "/";
  place.textContent = /^[A-Za-z0-9_./-]+$/.test(folder) ? folder : "'" + folder.replace(/'/g, "'\\''") + "'";
  document.getElementById("start").className = "local";
  document.getElementById("loading").hidden = true;
  document.getElementById("local").hidden = false;
})();
