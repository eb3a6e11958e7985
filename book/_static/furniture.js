/* The framework is chosen once for the book: in the bar, or in any tab. Both follow one another
   through what sphinx-design stores for its tabs. */
(function () {
  "use strict";
  var GROUP = "framework";
  var KEY = "sphinx-design-tab-id-" + GROUP;
  var choosers = document.querySelectorAll("select.framework");

  function stored() {
    try {
      return window.localStorage.getItem(KEY);
    } catch (error) {
      return null; // a browser may keep nothing; tabs and chooser then agree on this page alone
    }
  }

  function show(id) {
    choosers.forEach(function (chooser) {
      chooser.value = id;
    });
  }

  function turn(id) {
    var chosen = '.sd-tab-label[data-sync-group="' + GROUP + '"][data-sync-id="' + id + '"]';
    document.querySelectorAll(chosen).forEach(function (label) {
      document.getElementById(label.htmlFor).checked = true;
    });
  }

  show(stored() || "torch");
  document.addEventListener("change", function (event) {
    var target = event.target;
    if (target.matches("select.framework")) {
      try {
        window.localStorage.setItem(KEY, target.value);
      } catch (error) {
        /* as above */
      }
      turn(target.value);
      show(target.value);
    } else if (target.id) {
      var label = document.querySelector('label.sd-tab-label[for="' + target.id + '"]');
      if (label && label.dataset.syncGroup === GROUP) show(label.dataset.syncId);
    }
  });
  window.addEventListener("storage", function (event) {
    if (event.key === KEY && event.newValue) {
      turn(event.newValue);
      show(event.newValue);
    }
  });
})();
