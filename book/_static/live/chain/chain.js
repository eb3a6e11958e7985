/* A chain of layers that hold one number each: y = w^L x, and (1 + w/c)^L x with shortcuts. */
(() => {
  const live = window.companionLive;
  const words = window.companionWords.chain;
  const DECADES = 20;

  /* By what a layer multiplies: plain, around its own number, around the divided one. */
  function factors(depth, weight, divisor) {
    const divided = weight / { one: 1, root: Math.sqrt(depth), depth }[divisor];
    return { plain: weight, residual: 1 + divided };
  }
  /* The value after each layer, from x = 1, and the derivative of the last with respect to it. */
  function flow(depth, factor) {
    const values = [1];
    for (let l = 0; l < depth; l++) values.push(values[l] * factor);
    return { values, gradients: values.map((_, l) => values[depth - l]) };
  }

  function build() {
    const charts = [live.picture(), live.picture()];
    const shown = live.html("div", { class: "live-panels", role: "img" }, ...charts);
    const says = live.html("p", { class: "live-says" });
    const depth = live.slider(
      { id: "live-chain-depth", label: words.depth, min: 1, max: 100, step: 1, value: 50 }, draw);
    const weight = live.slider(
      { id: "live-chain-weight", label: words.weight, min: -1.5, max: 1.5, step: 0.01, value: 0.5,
        format: (v) => live.fixed(v, 2) }, draw);
    const divisor = live.choice(
      { id: "live-chain-divisor", label: words.divisor, value: "one",
        options: ["one", "root", "depth"].map((name) => [name, words.divisors[name]]) }, draw);

    function draw() {
      const L = depth.value;
      const factor = factors(L, weight.value, divisor.value);
      const flows = { plain: flow(L, factor.plain), residual: flow(L, factor.residual) };
      const x = { range: [0, L], ticks: live.ticks(0, L), label: words.layer };
      const y = { range: [-DECADES, DECADES], ticks: [-20, -10, 0, 10, 20], format: live.power };
      ["values", "gradients"].forEach((what, i) => {
        const marks = ["plain", "residual"].map((look) => ({
          kind: "line", look: `live-${look}`,
          points: flows[look][what].map((v, l) => [l, Math.log10(Math.abs(v))]),
        }));
        live.chart(charts[i], { title: words[what], x, y, marks });
      });
      const end = (format) => ({
        layers: L, plain: format(flows.plain.values[L]), residual: format(flows.residual.values[L]),
      });
      says.textContent = live.fill(words.says, end(live.number));
      const sentence = live.fill(words.says, end(live.spoken));
      shown.setAttribute("aria-label", live.fill(words.shows, { sentence }));
      depth.say(sentence);
      weight.say(sentence);
    }
    draw();
    const controls = live.html("fieldset", { class: "live-controls" }, depth.node, weight.node, divisor.node);
    const legend = live.legend([["live-plain", words.plain], ["live-residual", words.residual]]);
    return [shown, legend, says, controls];
  }

  live.chain = { factors, flow };
  live.mount("chain", build);
})();
