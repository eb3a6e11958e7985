/* A product multiplied out: (1 + a)^L by path length, and the stream's variance by depth. */
(() => {
  const live = window.companionLive;
  const words = window.companionWords.depth;

  /* Shares of (1 + a)^L by path length k: C(L, k) a^k / (1 + a)^L. With a = 1, of the paths. */
  function shares(L, a) {
    const found = [(1 / (1 + a)) ** L];
    for (let k = 1; k <= L; k++) found.push((found[k - 1] * a * (L - k + 1)) / k);
    return found;
  }
  /* The stream's variance after each block, from 1: plain a², with shortcuts 1 + a², divided. */
  function variances(L, a) {
    const each = { plain: a * a, sum: 1 + a * a, divided: 1 + (a * a) / L };
    const rows = {};
    for (const [name, factor] of Object.entries(each)) {
      rows[name] = Array.from({ length: L + 1 }, (_, l) => factor ** l);
    }
    return rows;
  }

  function build() {
    const [left, right] = [live.picture(), live.picture()];
    const shown = live.html("div", { class: "live-panels", role: "img" }, left, right);
    const says = live.html("p", { class: "live-says" });
    const blocks = live.slider(
      { id: "live-depth-blocks", label: words.blocks, min: 1, max: 60, step: 1, value: 40 }, draw);
    const scale = live.slider(
      { id: "live-depth-scale", label: words.scale, min: 0, max: 1.5, step: 0.01, value: 0.5,
        format: (v) => live.fixed(v, 2) }, draw);

    function draw() {
      const L = blocks.value;
      const a = scale.value;
      const small = a / Math.sqrt(L);
      const paths = shares(L, 1);
      const carried = { sum: shares(L, a), divided: shares(L, small) };
      const top = Math.max(...paths, ...carried.sum, ...carried.divided);
      const at = (values) => values.map((v, k) => [k, v]);
      const percent = (v) => live.fill(words.percent, { value: live.number(100 * v) });
      live.chart(left, {
        title: words.paths,
        x: { range: [-0.5, L + 0.5], ticks: live.ticks(0, L).filter(Number.isInteger), label: words.length },
        y: { range: [0, 1.08 * top], ticks: live.ticks(0, 1.08 * top, 4), format: percent },
        marks: [
          { kind: "bars", look: "", points: at(paths) },
          { look: "live-residual", points: at(carried.sum) },
          { look: "live-residual live-dotted", points: at(carried.divided) },
        ],
      });
      const rows = variances(L, a);
      const marks = [["plain", "live-plain"], ["sum", "live-residual"],
        ["divided", "live-residual live-dotted"]].map(([name, look]) => (
        { look, points: rows[name].map((v, l) => [l, Math.log10(v)]) }));
      live.chart(right, {
        title: words.variance,
        x: { range: [0, L], ticks: live.ticks(0, L).filter(Number.isInteger), label: words.block },
        y: { range: [-20, 20], ticks: [-20, -10, 0, 10, 20], format: live.power }, marks,
      });
      const mean = (gain) => (L * gain) / (1 + gain);
      const values = (format) => ({
        blocks: L, count: format(2 ** L), middle: format(L / 2), length: format(mean(a)),
        divided: format(mean(small)), plain: format(rows.plain[L]), sum: format(rows.sum[L]),
        level: format(rows.divided[L]),
      });
      says.textContent = live.fill(words.says, values(live.number));
      const sentence = live.fill(words.says, values(live.spoken));
      shown.setAttribute("aria-label", live.fill(words.shows, { sentence }));
      blocks.say(sentence);
      scale.say(sentence);
    }
    draw();
    const controls = live.html("fieldset", { class: "live-controls" }, blocks.node, scale.node);
    const legend = live.legend([["live-bars", words.counted], ["live-plain", words.plain],
      ["live-residual", words.sum], ["live-residual live-dotted", words.divided]]);
    return [shown, legend, says, controls];
  }

  live.depth = { shares, variances };
  live.mount("depth", build);
})();
