/* What scrolls sideways can be reached with Tab and says that it scrolls; what fits stays silent.
   Its words come with the script's own tag. */
(() => {
  const { selector, label } = document.currentScript.dataset;
  const mark = (element) => {
    const scrolls = element.scrollWidth > element.clientWidth + 1;
    if (scrolls && !element.hasAttribute("tabindex")) {
      element.dataset.scrolls = "";
      element.tabIndex = 0;
      element.setAttribute("role", "group");
      element.setAttribute("aria-label", label);
    } else if (!scrolls && "scrolls" in element.dataset && element !== document.activeElement) {
      delete element.dataset.scrolls;
      for (const name of ["tabindex", "role", "aria-label"]) element.removeAttribute(name);
    }
  };
  const found = [...document.querySelectorAll(selector)];
  if (window.ResizeObserver) {
    // Told at once of every element, and again when it or the window changes or a cell unfolds.
    const watch = new ResizeObserver((entries) => entries.forEach((entry) => mark(entry.target)));
    found.forEach((element) => watch.observe(element));
  } else found.forEach(mark);
})();
