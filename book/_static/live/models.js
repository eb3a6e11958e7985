/* Trained networks of figures: their weights, which come on first use and are int8 with a scale for
   each row, and the one layer that all of them have. */
(() => {
  const here = document.currentScript && document.currentScript.src;
  const coming = {};

  /* The content of a script of weights; `file` is relative to this one. */
  function load(name, file) {
    const there = () => window.companionWeights && window.companionWeights[name];
    if (there()) return Promise.resolve(there());
    coming[name] ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = new URL(file, here || document.baseURI).href;
      script.onload = () => resolve(there());
      script.onerror = () => {
        script.remove();
        delete coming[name]; // so that another try is one
        reject(new Error(script.src));
      };
      document.head.append(script);
    });
    return coming[name];
  }

  /* Each array by its name, in double precision: matrices row by row, { rows, columns, values }. */
  function unpacked({ tensors, data }) {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    const found = {};
    let at = 0;
    const floats = (count) => {
      const values = new Float64Array(count);
      for (let i = 0; i < count; i++, at += 4) values[i] = view.getFloat32(at, true);
      return values;
    };
    for (const [name, [rows, columns]] of tensors) {
      if (columns === undefined) {
        found[name] = floats(rows);
        continue;
      }
      const start = at;
      at += rows * columns;
      const scales = floats(rows);
      const values = new Float64Array(rows * columns);
      for (let i = 0; i < values.length; i++) {
        values[i] = view.getInt8(start + i) * scales[Math.floor(i / columns)];
      }
      found[name] = { rows, columns, values };
    }
    if (at !== bytes.length) throw new Error("weights of another length than their shapes say");
    return found;
  }

  /* y = W x + b */
  function dense({ rows, columns, values }, bias, x) {
    const y = new Float64Array(rows);
    for (let r = 0, at = 0; r < rows; r++) {
      let sum = bias[r];
      for (let c = 0; c < columns; c++) sum += values[at++] * x[c];
      y[r] = sum;
    }
    return y;
  }

  function largest(values) {
    let best = 0;
    for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
    return best;
  }

  function softmax(values) {
    const top = values[largest(values)];
    const powers = values.map((v) => Math.exp(v - top));
    const sum = powers.reduce((a, b) => a + b);
    return powers.map((p) => p / sum);
  }

  /* A button that loads something, with its size beside it; `done` returns a promise. */
  function offer({ label, size, failed }, done) {
    const { html } = window.companionLive;
    const beside = html("span", { role: "status" }, size);
    const button = html("button", { type: "button" }, label);
    button.addEventListener("click", () => {
      if (button.getAttribute("aria-disabled")) return;
      button.setAttribute("aria-disabled", "true");
      done().catch((error) => {
        console.warn(error);
        button.removeAttribute("aria-disabled");
        beside.textContent = failed;
      });
    });
    return html("div", { class: "live-buttons models-row" }, button, beside);
  }

  window.companionLive.models = { load, unpacked, dense, largest, softmax, offer };
})();
