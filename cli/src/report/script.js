(async () => {
  "use strict";
  const data = JSON.parse(document.getElementById("cells").textContent);
  const byId = (id) => document.getElementById(id);
  const canvas = byId("map"), tip = byId("tip"), note = byId("map-note");
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const inflate = async (text) => {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
  if (typeof DecompressionStream === "undefined") {
    note.textContent = "This browser is too old to draw the interactive plot (it lacks DecompressionStream).";
    return;
  }

  const n = data.n;
  const bytes = await inflate(data.points);
  const view = new DataView(bytes.buffer);
  const xs = new Float32Array(n), ys = new Float32Array(n), label = new Uint16Array(n);
  for (let i = 0; i < n; i++) {
    xs[i] = view.getUint16(2 * i, true) / 65535;
    ys[i] = view.getUint16(2 * (n + i), true) / 65535;
  }
  let next = 0;
  data.groups.forEach((group, index) => { label.fill(index, next, next + group.shown); next += group.shown; });

  // Cells are stored cluster by cluster; drawn so, the last cluster would cover the others. A fixed shuffle.
  const shuffled = Uint32Array.from({ length: n }, (_, i) => i);
  let state = 1;
  for (let i = n - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor(state / 4294967296 * (i + 1));
    [shuffled[i], shuffled[j]] = [shuffled[j], shuffled[i]];
  }

  const colour = (index) => COLOURS[index] || "#888";
  const ramp = () => dark.matches ? ["#2b333e", "#3d5f8f", "#4fa0a8", "#a8d58a", "#ffe88f"] : ["#dfe4ea", "#a9c4e4", "#5f8fd0", "#34509c", "#1a1f52"];
  const mix = (share) => {
    const stops = ramp(), at = Math.min(share, 1) * (stops.length - 1), low = Math.min(Math.floor(at), stops.length - 2), part = at - low;
    const channel = (text, k) => parseInt(text.slice(1 + 2 * k, 3 + 2 * k), 16);
    return "rgb(" + [0, 1, 2].map((k) => Math.round(channel(stops[low], k) * (1 - part) + channel(stops[low + 1], k) * part)).join(",") + ")";
  };

  const levels = new Map();
  const load = async (gene) => {
    if (!levels.has(gene.name)) {
      const packed = await inflate(gene.data), all = new Uint8Array(n);
      for (let i = 0; i < n; i++) all[i] = i % 2 ? packed[i >> 1] >> 4 : packed[i >> 1] & 15;
      levels.set(gene.name, all);
    }
    return levels.get(gene.name);
  };

  // What is shown: clusters or one gene; one cluster may be picked out; the window may be moved.
  let gene = null, picked = -1, hovered = -1;
  const sight = { x: 0, y: 0, zoom: 1 };
  let width = 0, height = 0, ratio = 1;
  let extentX = 0, extentY = 0;
  for (let i = 0; i < n; i++) { extentX = Math.max(extentX, xs[i]); extentY = Math.max(extentY, ys[i]); }
  const unit = () => Math.min((width - 36) / Math.max(extentX, 1e-9), (height - 36) / Math.max(extentY, 1e-9));
  const screenX = (x) => width / 2 + (x - extentX / 2 - sight.x) * unit() * sight.zoom;
  const screenY = (y) => height / 2 - (y - extentY / 2 - sight.y) * unit() * sight.zoom;

  const draw = () => {
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const size = Math.max(1.1, Math.min(5, 190 / Math.sqrt(n + 1))) * Math.min(2.2, Math.sqrt(sight.zoom));
    const strong = hovered >= 0 ? hovered : picked;
    const faint = dark.matches ? "#2b333e" : "#e3e7ec";
    const dot = (i) => {
      const x = screenX(xs[i]), y = screenY(ys[i]);
      if (x < -size || y < -size || x > width + size || y > height + size) return;
      if (size < 2.2) pen.fillRect(x - size / 2, y - size / 2, size, size);
      else { pen.beginPath(); pen.arc(x, y, size / 2, 0, 6.2832); pen.fill(); }
    };
    if (gene) {
      const level = levels.get(gene.name), buckets = Array.from({ length: 16 }, () => []);
      for (const i of shuffled) buckets[level[i]].push(i);
      buckets.forEach((cells, step) => {
        pen.fillStyle = mix(step / 15);
        for (const i of cells) if (strong < 0 || label[i] === strong) dot(i);
      });
      if (strong >= 0) {
        pen.globalCompositeOperation = "destination-over";
        pen.fillStyle = faint;
        for (const i of shuffled) if (label[i] !== strong) dot(i);
        pen.globalCompositeOperation = "source-over";
      }
    } else {
      const colours = data.groups.map((_, index) => colour(index));
      if (strong >= 0) {
        pen.fillStyle = faint;
        for (const i of shuffled) if (label[i] !== strong) dot(i);
      }
      for (const i of shuffled) {
        if (strong >= 0 && label[i] !== strong) continue;
        pen.fillStyle = colours[label[i]];
        dot(i);
      }
    }
    pen.font = "600 13px system-ui, 'DejaVu Sans', sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.lineJoin = "round";
    data.groups.forEach((group, index) => {
      if (!group.shown || group.x === null || (strong >= 0 && index !== strong)) return;
      const x = screenX(group.x), y = screenY(group.y);
      pen.lineWidth = 4;
      pen.strokeStyle = dark.matches ? "#1a2028" : "#ffffff";
      pen.strokeText(group.name, x, y);
      pen.fillStyle = dark.matches ? "#f2f5f9" : "#1b2330";
      pen.fillText(group.name, x, y);
    });
  };
  let queued = false;
  const redraw = () => {
    if (queued) return;
    queued = true;
    requestAnimationFrame(() => { queued = false; draw(); });
  };
  const resize = () => {
    const box = canvas.getBoundingClientRect();
    ratio = window.devicePixelRatio || 1;
    width = box.width; height = box.height;
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    draw();
  };

  // Nearest cell under the pointer, by a grid over the unit square.
  const SIDE = 256, heads = new Int32Array(SIDE * SIDE).fill(-1), links = new Int32Array(n).fill(-1);
  const cell = (v) => Math.max(0, Math.min(SIDE - 1, Math.floor(v * SIDE)));
  for (let i = 0; i < n; i++) { const at = cell(ys[i]) * SIDE + cell(xs[i]); links[i] = heads[at]; heads[at] = i; }
  const nearest = (px, py) => {
    const scale = unit() * sight.zoom;
    const x = (px - width / 2) / scale + extentX / 2 + sight.x, y = (height / 2 - py) / scale + extentY / 2 + sight.y;
    const reach = 8 / scale;
    let best = -1, closest = reach * reach;
    for (let row = cell(y - reach); row <= cell(y + reach); row++)
      for (let column = cell(x - reach); column <= cell(x + reach); column++)
        for (let i = heads[row * SIDE + column]; i >= 0; i = links[i]) {
          const d = (xs[i] - x) ** 2 + (ys[i] - y) ** 2;
          if (d < closest) { closest = d; best = i; }
        }
    return best;
  };

  let dragged = null;
  canvas.addEventListener("pointerdown", (event) => { dragged = { x: event.clientX, y: event.clientY }; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointerup", () => { dragged = null; });
  canvas.addEventListener("pointermove", (event) => {
    const scale = unit() * sight.zoom;
    if (dragged) {
      sight.x -= (event.clientX - dragged.x) / scale; sight.y += (event.clientY - dragged.y) / scale;
      dragged = { x: event.clientX, y: event.clientY };
      tip.style.display = "none";
      redraw();
      return;
    }
    const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top, i = nearest(x, y);
    tip.style.display = i < 0 ? "none" : "block";
    if (i >= 0) {
      const group = data.groups[label[i]];
      tip.textContent = "cluster " + group.name + (gene ? " · " + gene.name + " " + (levels.get(gene.name)[i] / 15 * gene.top).toFixed(1) : group.marker ? " · " + group.marker : "");
      tip.style.left = x + "px"; tip.style.top = y + "px";
      tip.style.transform = x > width * .7 ? "translate(calc(-100% - 12px), -130%)" : "";
    }
  });
  canvas.addEventListener("pointerleave", () => { tip.style.display = "none"; });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = canvas.getBoundingClientRect(), px = event.clientX - box.left - width / 2, py = height / 2 - (event.clientY - box.top);
    const before = unit() * sight.zoom;
    sight.zoom = Math.max(.8, Math.min(60, sight.zoom * Math.exp(-event.deltaY * .0015)));
    const after = unit() * sight.zoom;
    sight.x += px / before - px / after; sight.y += py / before - py / after;
    redraw();
  }, { passive: false });
  canvas.addEventListener("dblclick", () => { sight.x = sight.y = 0; sight.zoom = 1; redraw(); });

  const buttons = { clusters: byId("by-cluster"), gene: byId("by-gene") };
  const field = byId("gene"), rampBox = byId("ramp");
  const show = async (chosen) => {
    if (chosen) { await load(chosen); field.value = chosen.name; }
    gene = chosen;
    buttons.clusters.setAttribute("aria-pressed", String(!gene));
    buttons.gene.setAttribute("aria-pressed", String(!!gene));
    rampBox.style.visibility = gene ? "visible" : "hidden";
    if (gene) {
      byId("ramp-name").textContent = gene.name + "  0";
      byId("ramp-top").textContent = "≥ " + gene.top.toFixed(1);
      byId("ramp-bar").style.background = "linear-gradient(90deg," + [0, .25, .5, .75, 1].map(mix).join(",") + ")";
    }
    redraw();
  };
  const named = (name) => data.genes.find((one) => one.name.toLowerCase() === name.trim().toLowerCase());
  buttons.clusters.addEventListener("click", () => show(null));
  buttons.gene.addEventListener("click", () => show(named(field.value) || data.genes[0] || null));
  field.addEventListener("input", () => { const one = named(field.value); if (one) show(one); });
  field.addEventListener("focus", () => field.select());
  const list = byId("genes");
  data.genes.forEach((one) => { const option = document.createElement("option"); option.value = one.name; list.append(option); });
  document.querySelectorAll("button.gene").forEach((button) => {
    button.addEventListener("click", () => {
      const one = named(button.textContent);
      if (one) { show(one); byId("embedding").scrollIntoView({ behavior: "smooth" }); }
    });
  });

  const legend = byId("legend");
  data.groups.forEach((group, index) => {
    const button = document.createElement("button"), swatch = document.createElement("i"), name = document.createElement("span"), count = document.createElement("span");
    swatch.style.background = colour(index);
    name.textContent = group.name;
    if (group.marker) { const marker = document.createElement("em"); marker.textContent = "  " + group.marker; name.append(marker); }
    count.textContent = group.size.toLocaleString("en");
    count.className = "count";
    button.append(swatch, name, count);
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("mouseenter", () => { hovered = index; redraw(); });
    button.addEventListener("mouseleave", () => { hovered = -1; redraw(); });
    button.addEventListener("click", () => {
      picked = picked === index ? -1 : index;
      legend.querySelectorAll("button").forEach((other, at) => other.setAttribute("aria-pressed", String(at === picked)));
      redraw();
    });
    legend.append(button);
  });

  // A link such as report.html#gene=LYZ opens on that gene.
  const asked = /^#gene=(.+)$/.exec(location.hash);
  if (asked) await show(named(decodeURIComponent(asked[1])) || null);
  dark.addEventListener("change", () => { if (gene) show(gene); else redraw(); });
  new ResizeObserver(resize).observe(canvas);
  resize();
})();
