/* A residual perceptron whose blocks can be left out or put in another order:
   y = x + W2 relu(norm2(W1 relu(norm1(x)) + b1)) + b2, the plain block without the first x. */
(() => {
  const { unpacked, dense, largest } = window.companionLive.models;
  const EPSILON = 1e-5;

  /* A norm in evaluation is a factor and a shift for each channel. */
  function norm(weights, name) {
    const of = (part) => weights[`${name}.vectors.${part}`];
    const factor = of("weight").map((w, i) => w / Math.sqrt(of("running_var")[i] + EPSILON));
    const shift = of("bias").map((b, i) => b - of("running_mean")[i] * factor[i]);
    return (x) => x.map((v, i) => Math.max(0, v * factor[i] + shift[i])); // and the ReLU behind it
  }

  function network(packed, residual) {
    const weights = unpacked(packed);
    const layer = (name) => (x) => dense(weights[`${name}.weight`], weights[`${name}.bias`], x);
    const blocks = [];
    for (let i = 0; weights[`blocks.${i}.branch.dense1.weight`]; i++) {
      const of = (part) => `blocks.${i}.branch.${part}`;
      blocks.push([norm(weights, of("norm1")), layer(of("dense1")),
        norm(weights, of("norm2")), layer(of("dense2"))]);
    }
    const [stem, head] = [layer("stem"), layer("dense")];

    /* Logits of one image; `order` lists the blocks that it goes through. */
    function logits(image, order) {
      let stream = stem(image);
      for (const i of order) {
        const branch = blocks[i].reduce((x, step) => step(x), stream);
        stream = residual ? stream.map((v, c) => v + branch[c]) : branch;
      }
      return head(stream.map((v) => Math.max(0, v)));
    }
    return { blocks: blocks.length, logits };
  }

  /* Test digits: images of 64 grey values from 0 to 1, and their labels. */
  function digits({ pixels, labels }) {
    const points = Uint8Array.from(atob(pixels), (c) => c.charCodeAt(0));
    return Array.from(labels, (label, i) => ({
      label: Number(label),
      image: Float64Array.from(points.subarray(64 * i, 64 * i + 64), (p) => p / 16),
    }));
  }

  const answers = (net, all, order) => all.map(({ image }) => largest(net.logits(image, order)));

  window.companionLive.lesions = { network, digits, answers };
})();
