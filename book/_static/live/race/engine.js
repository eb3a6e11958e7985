/* Deep networks of dense layers, trained by Adam, in float64.

   h_0 = relu(V x + c);  h_l = merge(h_(l-1), relu(W_l u + b_l)), l = 1..depth;  logits = A z + a
   shortcut "none": the branch f alone; "sum": h + f; "sqrt": h + f / sqrt(depth); "rezero":
   h + s_l f with s_l learned, from 0. Without norm u = h_(l-1) and z = h_depth; with norm both are
   layer norms of these (no gain or offset, eps 1e-5): where a branch begins, and before the head.

   Uses nothing from outside: its text also becomes the worker. */
window.makeRaceEngine = function () {
  "use strict";

  function random(seed) { // mulberry32: uniform in [0, 1)
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  // y = x w^T + b for x (n, k), w (m, k), y (n, m), in tiles of 4 x 2: n in fours, m even
  function product(x, w, b, y, n, k, m) {
    for (let r = 0; r < n; r += 4) {
      const x0 = r * k, x1 = x0 + k, x2 = x1 + k, x3 = x2 + k;
      for (let o = 0; o < m; o += 2) {
        const w0 = o * k, w1 = w0 + k;
        let a0 = b ? b[o] : 0, b0 = b ? b[o + 1] : 0;
        let a1 = a0, a2 = a0, a3 = a0, b1 = b0, b2 = b0, b3 = b0;
        for (let i = 0; i < k; i++) {
          const u = w[w0 + i], v = w[w1 + i];
          const p = x[x0 + i], q = x[x1 + i], s = x[x2 + i], t = x[x3 + i];
          a0 += p * u; a1 += q * u; a2 += s * u; a3 += t * u;
          b0 += p * v; b1 += q * v; b2 += s * v; b3 += t * v;
        }
        let at = r * m + o;
        y[at] = a0; y[at + 1] = b0; at += m;
        y[at] = a1; y[at + 1] = b1; at += m;
        y[at] = a2; y[at + 1] = b2; at += m;
        y[at] = a3; y[at + 1] = b3;
      }
    }
  }

  function relu(x, length) {
    for (let i = 0; i < length; i++) if (x[i] < 0) x[i] = 0;
  }

  function transpose(x, y, rows, columns) {
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) y[c * rows + r] = x[r * columns + c];
    }
  }

  function layerNorm(x, y, inverse, n, width) {
    for (let r = 0, at = 0; r < n; r++, at += width) {
      let mean = 0, square = 0;
      for (let i = 0; i < width; i++) mean += x[at + i] / width;
      for (let i = 0; i < width; i++) square += (x[at + i] - mean) ** 2 / width;
      inverse[r] = 1 / Math.sqrt(square + 1e-5);
      for (let i = 0; i < width; i++) y[at + i] = (x[at + i] - mean) * inverse[r];
    }
  }

  function layerNormBackward(d, y, inverse, n, width) { // in place
    for (let r = 0, at = 0; r < n; r++, at += width) {
      let mean = 0, along = 0;
      for (let i = 0; i < width; i++) {
        mean += d[at + i] / width;
        along += d[at + i] * y[at + i] / width;
      }
      for (let i = 0; i < width; i++) {
        d[at + i] = (d[at + i] - mean - y[at + i] * along) * inverse[r];
      }
    }
  }

  function network({depth, width, shortcut, norm, seed, inputs = 64, classes = 10, batch = 64}) {
    if (!["none", "sum", "sqrt", "rezero"].includes(shortcut)) {
      throw new RangeError(`shortcut must be none, sum, sqrt or rezero, got ${shortcut}`);
    }
    if (!(depth >= 1 && width >= 4) || (width | inputs | batch) % 4 || classes % 2) {
      throw new RangeError("depth is from 1; width, inputs, batch multiples of 4; classes even; " +
        `got ${[depth, width, inputs, batch, classes]}`);
    }
    const layout = {}, room = [0, 1, 2].map(() => new Float64Array((batch + width) * (inputs + width)));
    const make = (columns) => new Float64Array(batch * columns);
    let size = 0;
    const learned = shortcut === "rezero", shapes = [["stem", width, inputs, Math.sqrt(2 / inputs)]];
    for (let l = 1; l <= depth; l++) shapes.push([l, width, width, Math.sqrt(2 / width)]);
    shapes.push(["head", classes, width, Math.sqrt(1 / width)]); // no ReLU behind it
    for (const [name, m, k] of shapes) { // where each begins in one flat array, and its length
      layout[`${name}.weight`] = [size, m * k];
      layout[`${name}.bias`] = [size += m * k, m];
      size += m;
      if (learned && name > 0) layout[`${name}.scale`] = [size++, 1];
    }
    const [theta, grad, first, second] = [0, 1, 2, 3].map(() => new Float64Array(size));

    const rng = random(seed); // weights: He et al. (2015), eq. 10; normal by Box and Muller
    const layers = shapes.map(([name, m, k, std]) => {
      const part = (flat, kind) => {
        const [start, length] = layout[`${name}.${kind}`];
        return flat.subarray(start, start + length);
      };
      const w = part(theta, "weight"), dw = part(grad, "weight");
      const b = part(theta, "bias"), db = part(grad, "bias");
      for (let i = 0; i < w.length; i++) {
        w[i] = std * Math.sqrt(-2 * Math.log(1 - rng())) * Math.cos(2 * Math.PI * rng());
      }
      const inside = name > 0, merged = inside && shortcut !== "none";
      const s = learned && inside ? part(theta, "scale") : [shortcut === "sqrt" ? depth ** -0.5 : 1];
      const ds = learned && inside ? part(grad, "scale") : [0];
      const f = make(m), normed = norm && name !== "stem";
      return {m, k, w, dw, b, db, s, ds, f, h: merged ? make(m) : f, merged, inside,
              u: normed && make(k), inverse: normed && make(1)};
    });
    const head = layers[depth + 1], logits = head.h, p = make(classes);
    const d = make(width), df = make(width), du = make(width);
    let n, steps = 0;

    function forward(images, count) { // (count, inputs) to logits (count, classes)
      let h = images;
      n = count;
      for (const layer of layers) {
        const {m, k, w, b, f, u} = layer;
        if (u) layerNorm(h, u, layer.inverse, n, k);
        layer.x = u || h;
        product(layer.x, w, b, f, n, k, m);
        if (layer !== head) relu(f, n * m);
        if (layer.merged) {
          const s = layer.s[0];
          for (let i = 0; i < n * m; i++) layer.h[i] = h[i] + s * f[i];
        }
        h = layer.h;
      }
      return logits;
    }

    function loss(labels) { // mean cross-entropy in nats; p becomes the softmax
      let total = 0;
      for (let r = 0, at = 0; r < n; r++, at += classes) {
        let top = -Infinity, sum = 0;
        for (let k = 0; k < classes; k++) top = Math.max(top, logits[at + k]);
        for (let k = 0; k < classes; k++) sum += p[at + k] = Math.exp(logits[at + k] - top);
        for (let k = 0; k < classes; k++) p[at + k] /= sum;
        total += top + Math.log(sum) - logits[at + labels[r]];
      }
      return total / n;
    }

    // dw and db of a layer from dy (n, m); dx (n, k) where asked for
    function layerBackward({m, k, w, dw, db, x, u, inverse}, dy, dx) {
      transpose(dy, room[0], n, m);
      transpose(x, room[1], n, k);
      product(room[1], room[0], null, room[2], k, n, m); // dw^T, as m need not be in fours
      transpose(room[2], dw, k, m);
      for (let o = 0; o < m; o++) {
        db[o] = 0;
        for (let r = 0; r < n; r++) db[o] += dy[r * m + o];
      }
      if (!dx) return;
      transpose(w, room[2], m, k);
      product(dy, room[2], null, dx, n, m, k);
      if (u) layerNormBackward(dx, u, inverse, n, k);
    }

    function backward(labels) { // fills grad, after loss
      for (let r = 0; r < n; r++) p[r * classes + labels[r]] -= 1;
      for (let i = 0; i < n * classes; i++) p[i] /= n;
      layerBackward(head, p, d);
      for (let l = depth; l >= 0; l--) {
        const layer = layers[l], {f, inside, merged} = layer, s = inside ? layer.s[0] : 1;
        let along = 0;
        for (let i = 0; i < n * width; i++) {
          along += d[i] * f[i];
          df[i] = f[i] > 0 ? s * d[i] : 0;
        }
        layer.ds[0] = along;
        layerBackward(layer, df, inside && du);
        if (inside) for (let i = 0; i < n * width; i++) d[i] = merged ? d[i] + du[i] : du[i];
      }
    }

    function step(rate) { // Adam (Kingma and Ba 2015, algorithm 1)
      steps++;
      const one = 1 - 0.9 ** steps, two = 1 - 0.999 ** steps;
      for (let i = 0; i < size; i++) {
        const g = grad[i];
        first[i] = 0.9 * first[i] + 0.1 * g;
        second[i] = 0.999 * second[i] + 0.001 * g * g;
        theta[i] -= rate * (first[i] / one) / (Math.sqrt(second[i] / two) + 1e-8);
      }
    }

    const gradientNorms = () => layers.slice(1, -1).map(({dw}) => Math.hypot(...dw));
    return {layout, theta, grad, forward, loss, backward, step, gradientNorms};
  }

  // Batches of `size` rows, each row once a pass; what a pass leaves over is dropped.
  function batches(rows, size, seed) {
    const order = Uint16Array.from({length: rows}, (_, i) => i), rng = random(seed);
    let at = rows;
    return () => {
      if (at + size > rows) {
        for (let i = rows - 1; i > 0; i--) { // Fisher and Yates
          const j = Math.floor(rng() * (i + 1));
          [order[i], order[j]] = [order[j], order[i]];
        }
        at = 0;
      }
      at += size;
      return order.subarray(at - size, at);
    };
  }

  /* The plain network and, unless shortcut is "none", one that differs in the shortcut alone: same
     weights in the branches, same batches. data: images (rows, 64) from 0 to 16, labels, and how
     many rows train; the others test. */
  function race({seed, shortcut, rate = 3e-3, batch = 64, ...options}, data) {
    const x = Float64Array.from(data.images, (v) => v / 16), rows = data.labels.length;
    const modes = shortcut === "none" ? ["none"] : ["none", shortcut];
    const arms = modes.map((mode) => network({...options, shortcut: mode, seed, batch}));
    const next = batches(data.train, batch, seed + 1e6), images = new Float64Array(batch * 64);

    function step() { // each network's loss, before the step
      const chosen = next(), labels = chosen.map((row) => data.labels[row]);
      chosen.forEach((row, i) => images.set(x.subarray(row * 64, row * 64 + 64), i * 64));
      return arms.map((arm) => {
        arm.forward(images, batch);
        const loss = arm.loss(labels);
        arm.backward(labels);
        arm.step(rate);
        return loss;
      });
    }

    function answers(arm, values) { // classes for images (n, 64) from 0 to 1, n in fours
      const found = [];
      for (let at = 0; at < values.length; at += batch * 64) {
        const n = Math.min(batch, (values.length - at) / 64);
        const logits = arm.forward(values.subarray(at, at + n * 64), n);
        for (let r = 0; r < n; r++) {
          const said = logits.subarray(r * 10, r * 10 + 10);
          found.push(said.indexOf(Math.max(...said)));
        }
      }
      return found;
    }

    const test = data.labels.subarray(data.train), right = (k, i) => k === test[i];
    return {
      step,
      accuracy: () => arms.map((arm) =>
        answers(arm, x.subarray(data.train * 64)).filter(right).length / (rows - data.train)),
      says: (pixels) => arms.map((arm) => answers(arm, Float64Array.from(pixels, (v) => v / 16))),
      gradientNorms: () => arms.map((arm) => arm.gradientNorms()),
    };
  }

  return {random, network, batches, race};
};
window.raceEngine = window.makeRaceEngine();
