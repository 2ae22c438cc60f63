// Pages mark their formulas by a class; notebooks have them between dollars, anywhere in their text.
const isNotebook = document.querySelector(".jupyter-wrapper") !== null;

window.MathJax = {
  tex: {
    inlineMath: isNotebook ? [["$", "$"]] : [["\\(", "\\)"]],
    displayMath: isNotebook ? [["$$", "$$"]] : [["\\[", "\\]"]],
    processEscapes: true,
    processEnvironments: true,
  },
  options: isNotebook
    ? { ignoreHtmlClass: "jp-CodeCell|md-nav" }
    : { ignoreHtmlClass: ".*|", processHtmlClass: "arithmatex" },
};
