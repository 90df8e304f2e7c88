(async () => {
  "use strict";
  const data = JSON.parse(document.getElementById("cells").textContent);
  const byId = (id) => document.getElementById(id);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  if (typeof DecompressionStream === "undefined") {
    byId("map-note").textContent = "This browser is too old to draw the interactive plots (it lacks DecompressionStream).";
    return;
  }
  const inflate = async (text) => {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
  // Numbers of 16 bits, axis after axis.
  const axes = async (text, n, count) => {
    const view = new DataView((await inflate(text)).buffer);
    return Array.from({ length: count }, (_, axis) => Float32Array.from({ length: n }, (_, i) => view.getUint16(2 * (axis * n + i), true) / 65535));
  };
  const runs = (counts) => {
    const codes = new Uint16Array(counts.reduce((a, b) => a + b, 0));
    let next = 0;
    counts.forEach((count, at) => { codes.fill(at, next, next + count); next += count; });
    return codes;
  };

  const places = data.places;
  const at = await axes(places.points, places.n, places.dimensions);
  const label = runs(places.shown);
  const sure = await inflate(places.confidence);
  const regions = data.regions.length ? await inflate(places.regions).then((bytes) => new Uint16Array(bytes.buffer)) : null;
  const cells = data.reference ? { n: data.reference.n, at: await axes(data.reference.points, data.reference.n, 2), label: runs(data.reference.shown) } : null;

  const faint = () => (dark.matches ? "#2b333e" : "#e3e7ec");
  const ramp = ["#5b2a86", "#3e6fb0", "#35a39a", "#9bcf5a", "#ffe14d"];
  const mix = (share) => {
    const x = Math.min(share, 1) * (ramp.length - 1), low = Math.min(Math.floor(x), ramp.length - 2), part = x - low;
    const channel = (text, k) => parseInt(text.slice(1 + 2 * k, 3 + 2 * k), 16);
    return "rgb(" + [0, 1, 2].map((k) => Math.round(channel(ramp[low], k) * (1 - part) + channel(ramp[low + 1], k) * part)).join(",") + ")";
  };
  const steps = Array.from({ length: 16 }, (_, step) => mix(step / 15));

  // What both panels show: types, confidence or regions; one type or region may be picked out.
  let by = "type", picked = -1, hovered = -1;
  const strong = () => (hovered >= 0 ? hovered : picked);
  const looks = [];
  const redraw = () => looks.forEach((look) => look.queue());

  const panel = (canvas, draw, extra) => {
    const look = { canvas, width: 0, height: 0, ratio: 1, zoom: 1, x: 0, y: 0, queued: false, ...extra };
    look.queue = () => {
      if (look.queued) return;
      look.queued = true;
      requestAnimationFrame(() => { look.queued = false; paint(); });
    };
    const paint = () => {
      const pen = canvas.getContext("2d");
      pen.setTransform(look.ratio, 0, 0, look.ratio, 0, 0);
      pen.clearRect(0, 0, look.width, look.height);
      draw(look, pen);
    };
    new ResizeObserver(() => {
      const box = canvas.getBoundingClientRect();
      look.ratio = window.devicePixelRatio || 1;
      look.width = box.width; look.height = box.height;
      canvas.width = Math.round(box.width * look.ratio); canvas.height = Math.round(box.height * look.ratio);
      paint();
    }).observe(canvas);
    let held = null;
    canvas.addEventListener("pointerdown", (event) => { held = { x: event.clientX, y: event.clientY, move: event.shiftKey }; canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointerup", () => { held = null; });
    canvas.addEventListener("pointermove", (event) => {
      if (!held) return;
      const dx = event.clientX - held.x, dy = event.clientY - held.y;
      held.x = event.clientX; held.y = event.clientY;
      if (look.turn && !held.move) { look.yaw += dx * .008; look.pitch = Math.max(-1.57, Math.min(1.57, look.pitch + dy * .008)); }
      else { look.x += dx; look.y += dy; }
      look.queue();
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = canvas.getBoundingClientRect(), factor = Math.exp(-event.deltaY * .0015);
      const zoom = Math.max(.5, Math.min(60, look.zoom * factor)), real = zoom / look.zoom;
      const px = event.clientX - box.left - look.width / 2, py = event.clientY - box.top - look.height / 2;
      look.x = px - (px - look.x) * real; look.y = py - (py - look.y) * real;
      look.zoom = zoom;
      look.queue();
    }, { passive: false });
    canvas.addEventListener("dblclick", () => { Object.assign(look, { zoom: 1, x: 0, y: 0 }, extra); look.queue(); });
    looks.push(look);
    return look;
  };

  const dot = (pen, x, y, size) => {
    if (size < 2.4) pen.fillRect(x - size / 2, y - size / 2, size, size);
    else { pen.beginPath(); pen.arc(x, y, size / 2, 0, 6.2832); pen.fill(); }
  };

  // Places: from far to near, nearer ones lighter and larger.
  const n = places.n, extent = places.extent, flat = places.dimensions === 2;
  const X = new Float32Array(n), Y = new Float32Array(n), Z = new Float32Array(n), order = new Uint32Array(n);
  const draw = (look, pen) => {
    const half = Math.hypot(...extent) / 2 || 1;
    const scale = (flat ? Math.min(look.width / (extent[0] || 1), look.height / (extent[1] || 1)) * .94 : Math.min(look.width, look.height) * .47 / half) * look.zoom;
    const [sinY, cosY, sinP, cosP] = flat ? [0, 1, 0, 1] : [Math.sin(look.yaw), Math.cos(look.yaw), Math.sin(look.pitch), Math.cos(look.pitch)];
    const buckets = new Uint32Array(258);
    const depth = new Uint8Array(n);
    for (let i = 0; i < n; i++) {
      const x = at[0][i] - extent[0] / 2, y = at[1][i] - extent[1] / 2, z = flat ? 0 : at[2][i] - extent[2] / 2;
      const turned = x * cosY + z * sinY, back = -x * sinY + z * cosY;
      X[i] = look.width / 2 + look.x + turned * scale;
      Y[i] = look.height / 2 + look.y + (y * cosP - back * sinP) * scale;
      Z[i] = y * sinP + back * cosP;
      depth[i] = Math.max(0, Math.min(255, Math.round((half - Z[i]) / (2 * half) * 255)));
      buckets[depth[i] + 1]++;
    }
    for (let k = 1; k < 257; k++) buckets[k] += buckets[k - 1];
    for (let i = 0; i < n; i++) order[buckets[depth[i]]++] = i;
    const size = Math.max(1.2, Math.min(9, (flat ? 420 : 300) / Math.sqrt(n + 1))) * Math.min(3, Math.sqrt(look.zoom));
    const chosen = strong();
    const group = by === "region" ? regions : label;
    const ghost = faint();
    if (chosen >= 0) {
      pen.fillStyle = ghost;
      for (let k = 0; k < n; k++) { const i = order[k]; if (group[i] !== chosen) dot(pen, X[i], Y[i], size * .7); }
    }
    for (let k = 0; k < n; k++) {
      const i = order[k];
      if (chosen >= 0 && group[i] !== chosen) continue;
      const near = flat ? 1 : .55 + .45 * depth[i] / 255;
      pen.fillStyle = by === "sure" ? steps[sure[i] >> 4] : by === "region" ? (regions[i] < data.regions.length ? REGION_COLOURS[regions[i]] : ghost) : COLOURS[label[i]];
      pen.globalAlpha = flat ? 1 : near;
      dot(pen, X[i], Y[i], size * (flat ? 1 : .75 + .5 * depth[i] / 255));
    }
    pen.globalAlpha = 1;
    // A bar of a round length.
    const unit = scale / places.span;
    let length = Math.pow(10, Math.floor(Math.log10(look.width / 4 / unit)));
    for (const step of [5, 2]) if (length * step * unit < look.width / 4) { length *= step; break; }
    const ink = dark.matches ? "#f2f5f9" : "#1b2330";
    pen.fillStyle = ink;
    pen.fillRect(14, look.height - 18, length * unit, 3);
    pen.font = "12.5px system-ui, 'DejaVu Sans', sans-serif";
    const micro = places.unit === "µm" && length >= 1000;
    pen.fillText((micro ? length / 1000 : +length.toPrecision(3)) + " " + (micro ? "mm" : places.unit), 20 + length * unit, look.height - 13);
  };
  const tip = byId("tip");
  const organ = panel(byId("organ"), draw, { turn: !flat, yaw: .6, pitch: -.35 });
  organ.canvas.addEventListener("pointermove", (event) => {
    const box = organ.canvas.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
    let best = -1, closest = 64;
    if (!event.buttons) for (let k = n - 1; k >= 0; k--) {
      const i = order[k], d = (X[i] - px) ** 2 + (Y[i] - py) ** 2;
      if (d < closest) { closest = d; best = i; }
    }
    tip.style.display = best < 0 ? "none" : "block";
    if (best < 0) return;
    tip.style.left = px + "px"; tip.style.top = py + "px";
    const region = regions && regions[best] < data.regions.length ? " · " + data.regions[regions[best]].name : "";
    tip.textContent = data.types[label[best]].name + " · confidence " + (sure[best] / 255).toFixed(2) + region;
  });
  organ.canvas.addEventListener("pointerleave", () => { tip.style.display = "none"; });

  if (cells) {
    const shuffled = Uint32Array.from({ length: cells.n }, (_, i) => i);
    let state = 1;
    for (let i = cells.n - 1; i > 0; i--) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      const j = Math.floor(state / 4294967296 * (i + 1));
      [shuffled[i], shuffled[j]] = [shuffled[j], shuffled[i]];
    }
    const [wide, tall] = data.reference.extent;
    panel(byId("umap"), (look, pen) => {
      const scale = Math.min(look.width / (wide || 1), look.height / (tall || 1)) * .94 * look.zoom;
      const size = Math.max(1.1, Math.min(6, 200 / Math.sqrt(cells.n + 1))) * Math.min(2.2, Math.sqrt(look.zoom));
      const chosen = by === "region" ? -1 : strong();
      const place = (i) => [look.width / 2 + look.x + (cells.at[0][i] - wide / 2) * scale, look.height / 2 + look.y - (cells.at[1][i] - tall / 2) * scale];
      const put = (keep, colour) => {
        for (const i of shuffled) if (keep(cells.label[i])) { pen.fillStyle = colour(cells.label[i]); const [x, y] = place(i); dot(pen, x, y, size); }
      };
      if (chosen >= 0) put((type) => type !== chosen, faint);
      put((type) => chosen < 0 || type === chosen, (type) => COLOURS[type] || "#888");
    }, {});
  }

  const legend = byId("legend");
  const list = () => {
    legend.textContent = "";
    picked = hovered = -1;
    const rows = by === "region" ? data.regions : data.types, colours = by === "region" ? REGION_COLOURS : COLOURS;
    rows.forEach((row, index) => {
      const button = document.createElement("button"), swatch = document.createElement("i"), name = document.createElement("span"), count = document.createElement("span");
      swatch.style.background = colours[index];
      name.textContent = row.name;
      count.textContent = row.size.toLocaleString("en");
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
  };
  const buttons = ["type", "sure", "region"].map((name) => [name, byId("by-" + name)]).filter(([, button]) => button);
  buttons.forEach(([name, button]) => button.addEventListener("click", () => {
    by = name;
    buttons.forEach(([other, its]) => its.setAttribute("aria-pressed", String(other === name)));
    byId("ramp").style.visibility = name === "sure" ? "visible" : "hidden";
    list();
    redraw();
  }));
  byId("ramp-bar").style.background = "linear-gradient(90deg," + ramp.join(",") + ")";
  list();
  dark.addEventListener("change", redraw);
})();
