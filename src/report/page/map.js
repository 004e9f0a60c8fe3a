// Maps of recordings and their MIDI: look around, and hear what lies where.
"use strict";
(() => {
  const tag = document.getElementById("maps");
  if (!tag) return;
  const data = JSON.parse(tag.textContent);
  const MARGIN = 14, NEAR = 24, MOST_ZOOM = 40;

  const words = (base64) => new Uint16Array(sound.bytes(base64).buffer);
  const notesOf = (clip) => {
    const view = new DataView(sound.bytes(clip.n).buffer);
    return Array.from({ length: view.byteLength / 6 }, (_, i) => ({
      pitch: view.getUint8(6 * i), velocity: view.getUint8(6 * i + 1),
      onset: view.getUint16(6 * i + 2, true) / 1000, duration: view.getUint16(6 * i + 4, true) / 1000,
    }));
  };
  const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
  const tint = (piece) => `hsl(${(piece * 137.508) % 360} 60% 50%)`;
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // A canvas as large as its box, in device pixels; drawing is in CSS pixels.
  const fitted = (canvas) => {
    const ratio = window.devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = canvas;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    return { pen, width, height };
  };

  for (const box of document.querySelectorAll(".map")) {
    const run = data.runs[Number(box.dataset.run)];
    if (run && run.maps.length > 0) show(box, run);
  }

  function show(box, run) {
    box.hidden = false;
    const plane = box.querySelector(".plane"), roll = box.querySelector(".roll"), about = box.querySelector(".about");
    const button = (name) => box.querySelector(`[data-do="${name}"]`);
    const maps = run.maps.map((map) => ({ ...map, xy: words(map.xy) }));
    let map = maps[0], selected = 0, hovered = -1, colour = "side";
    let zoom = 1, centre = [0.5, 0.5];

    const clipOf = (pair) => data.clips[run.clips[map.clips[pair]]];
    const size = () => Math.min(plane.clientWidth, plane.clientHeight) - 2 * MARGIN;
    // Where a share of the plane is on the canvas, and back; y grows upwards.
    const extent = () => [0, 1].map((axis) => map.spans ? map.spans[axis] : 1);
    const scale = () => zoom * Math.min((plane.clientWidth - 2 * MARGIN) / extent()[0], (plane.clientHeight - 2 * MARGIN) / extent()[1]);
    const at = (x, y) => [
      plane.clientWidth / 2 + (x - centre[0] * extent()[0]) * scale(),
      plane.clientHeight / 2 - (y - centre[1] * extent()[1]) * scale(),
    ];
    const point = (pair, side) => at(map.xy[4 * pair + 2 * side] / 65535, map.xy[4 * pair + 2 * side + 1] / 65535);
    const middle = (pair) => {
      const [a, b] = [point(pair, 0), point(pair, 1)];
      return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    };
    for (const each of maps) {
      const most = (axis) => each.xy.reduce((most, value, i) => (i % 2 === axis ? Math.max(most, value) : most), 1) / 65535;
      each.spans = [most(0), most(1)];
    }

    let asked = false;
    const redraw = () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => { asked = false; draw(); });
    };

    function draw() {
      const { pen, width, height } = fitted(plane);
      pen.clearRect(0, 0, width, height);
      const count = map.clips.length;
      const radius = Math.min(5, Math.max(1.8, size() / 8 / Math.sqrt(count))) * Math.min(2, Math.sqrt(zoom));
      pen.strokeStyle = style("--link");
      pen.lineWidth = 0.8;
      pen.beginPath();
      for (let i = 0; i < count; i++) {
        pen.moveTo(...point(i, 0));
        pen.lineTo(...point(i, 1));
      }
      pen.stroke();
      const colors = [style("--audio"), style("--midi")];
      for (const side of [0, 1]) {
        pen.fillStyle = colors[side];
        for (let i = 0; i < count; i++) {
          const [x, y] = point(i, side);
          if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
          if (colour === "piece") pen.fillStyle = tint(clipOf(i).p);
          pen.beginPath();
          // By piece the hue is taken: recordings are round, their MIDI square.
          if (colour === "piece" && side === 1) pen.rect(x - radius * 0.85, y - radius * 0.85, radius * 1.7, radius * 1.7);
          else pen.arc(x, y, radius, 0, 7);
          pen.fill();
        }
      }
      for (const pair of new Set([hovered, selected])) if (pair >= 0) mark(pen, pair, radius + 3, pair === selected);
    }

    function mark(pen, pair, radius, chosen) {
      pen.strokeStyle = style("--ink");
      pen.lineWidth = chosen ? 2.5 : 1.2;
      pen.beginPath();
      pen.moveTo(...point(pair, 0));
      pen.lineTo(...point(pair, 1));
      pen.stroke();
      [0, 1].forEach((side) => {
        pen.beginPath();
        pen.arc(...point(pair, side), radius, 0, 7);
        pen.fillStyle = style(side ? "--midi" : "--audio");
        pen.fill();
        pen.stroke();
      });
    }

    function drawRoll(notes) {
      const { pen, width, height } = fitted(roll);
      pen.clearRect(0, 0, width, height);
      const pitches = notes.map((note) => note.pitch);
      const low = Math.min(54, ...pitches) - 2, high = Math.max(78, ...pitches) + 2;
      const end = Math.max(4, ...notes.map((note) => note.onset + note.duration));
      const row = height / (high - low + 1);
      pen.fillStyle = style("--rule");
      for (let c = 12 * Math.ceil(low / 12); c <= high; c += 12) pen.fillRect(0, height - (c - low) * row, width, 1);
      for (const { pitch, velocity, onset, duration } of notes) {
        pen.globalAlpha = 0.45 + (0.55 * velocity) / 127;
        pen.fillStyle = style("--midi");
        pen.fillRect((onset / end) * width, height - (pitch - low + 1) * row, Math.max(2, (duration / end) * width - 1), Math.max(2, row - 1));
      }
      pen.globalAlpha = 1;
    }

    let shown = -1;
    function describe() {
      const pair = hovered >= 0 ? hovered : selected, clip = clipOf(pair);
      const cosine = (run.cosines[map.clips[pair]] / 1000).toFixed(3).replace("-", "−");
      const notes = notesOf(clip);
      const text = `Pair ${pair + 1} of ${map.clips.length}: ${data.pieces[clip.p] || "a piece without a title"}, from ${clock(clip.s)}, cosine ${cosine}`
        + (notes.length ? `, ${notes.length} notes` + (clip.a ? "." : "; the recording is left out for its size.") : "; notes and recording are left out.");
      if (about.textContent !== text) about.textContent = text;
      if (shown !== pair) drawRoll(notes);
      shown = pair;
      button("midi").disabled = !notesOf(clipOf(selected)).length;
      button("audio").disabled = !data.clips[run.clips[map.clips[selected]]].a;
      plane.setAttribute("aria-label", `Map of pairs of recordings and their MIDI. ${text}`);
    }

    function select(pair) {
      const count = map.clips.length;
      selected = ((pair % count) + count) % count;
      hovered = -1;
      const [x, y] = middle(selected);
      if (x < 0 || y < 0 || x > plane.clientWidth || y > plane.clientHeight) {
        const whole = (axis) => (map.xy[4 * selected + axis] + map.xy[4 * selected + 2 + axis]) / 2 / 65535 / extent()[axis];
        centre = [whole(0), whole(1)];
      }
      describe();
      redraw();
    }

    // The pair whose middle lies nearest in a direction; one to the side counts for farther.
    function neighbour(dx, dy) {
      const [x0, y0] = middle(selected);
      let best = -1, least = Infinity;
      for (let i = 0; i < map.clips.length; i++) {
        const [x, y] = middle(i), ahead = (x - x0) * dx + (y - y0) * dy, aside = Math.abs((x - x0) * dy) + Math.abs((y - y0) * dx);
        if (i === selected || ahead <= 0.01 || aside > 2 * ahead) continue;
        const cost = ahead + 2 * aside;
        if (cost < least) [best, least] = [i, cost];
      }
      if (best >= 0) select(best);
    }

    function nearest(x, y, reach) {
      let best = -1, least = reach;
      for (let i = 0; i < map.clips.length; i++) {
        for (const side of [0, 1]) {
          const [px, py] = point(i, side), distance = Math.hypot(px - x, py - y);
          if (distance < least) [best, least] = [i, distance];
        }
      }
      return best;
    }

    function zoomBy(factor, x = plane.clientWidth / 2, y = plane.clientHeight / 2) {
      const before = scale(), size = extent();
      const share = [centre[0] * size[0] + (x - plane.clientWidth / 2) / before, centre[1] * size[1] - (y - plane.clientHeight / 2) / before];
      zoom = Math.min(MOST_ZOOM, Math.max(1, zoom * factor));
      const after = scale();
      centre = zoom === 1 ? [0.5, 0.5]
        : [(share[0] - (x - plane.clientWidth / 2) / after) / size[0], (share[1] + (y - plane.clientHeight / 2) / after) / size[1]];
      redraw();
    }

    const playAudio = () => clipOf(selected).a && sound.recording(clipOf(selected).a);
    const playMidi = () => notesOf(clipOf(selected)).length && sound.midi(notesOf(clipOf(selected)));
    const keys = {
      ArrowLeft: () => neighbour(-1, 0), ArrowRight: () => neighbour(1, 0), ArrowUp: () => neighbour(0, -1), ArrowDown: () => neighbour(0, 1),
      Home: () => select(0), End: () => select(-1), Enter: playAudio, m: playMidi, M: playMidi, Escape: sound.stop,
      "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5), "0": () => zoomBy(0),
    };
    plane.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });

    let drag = null;
    const place = (event) => {
      const box = plane.getBoundingClientRect();
      return [event.clientX - box.left - plane.clientLeft, event.clientY - box.top - plane.clientTop];
    };
    plane.addEventListener("pointerdown", (event) => { drag = { from: place(event), centre: [...centre], moved: false }; });
    plane.addEventListener("pointermove", (event) => {
      const [x, y] = place(event);
      if (drag && event.buttons) {
        const [dx, dy] = [x - drag.from[0], y - drag.from[1]];
        drag.moved ||= Math.hypot(dx, dy) > 5;
        if (drag.moved && zoom > 1) {
          centre = [drag.centre[0] - dx / scale() / extent()[0], drag.centre[1] + dy / scale() / extent()[1]];
          redraw();
        }
        return;
      }
      const pair = nearest(x, y, NEAR);
      if (pair === hovered) return;
      hovered = pair;
      describe();
      redraw();
    });
    plane.addEventListener("pointerup", (event) => {
      const pair = drag && !drag.moved ? nearest(...place(event), 2 * NEAR) : -1;
      drag = null;
      if (pair >= 0) select(pair);
    });
    plane.addEventListener("pointerleave", () => {
      drag = null;
      if (hovered < 0) return;
      hovered = -1;
      describe();
      redraw();
    });
    plane.addEventListener("wheel", (event) => {
      // A plain wheel scrolls the page.
      if (!event.ctrlKey) return;
      event.preventDefault();
      zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, ...place(event));
    }, { passive: false });

    const actions = { previous: () => select(selected - 1), next: () => select(selected + 1), audio: playAudio, midi: playMidi, stop: sound.stop };
    for (const [name, action] of Object.entries(actions)) button(name).addEventListener("click", action);

    const methods = box.querySelector(".methods");
    maps.forEach((each, i) => {
      const label = document.createElement("label"), input = document.createElement("input");
      Object.assign(input, { type: "radio", name: `method-${box.dataset.run}`, checked: i === 0 });
      input.addEventListener("change", () => {
        const clip = map.clips[selected];
        map = each;
        zoomBy(0);
        shown = -1;
        select(Math.max(0, map.clips.indexOf(clip)));
      });
      label.append(input, ` ${each.method}`);
      methods.append(label);
    });
    for (const input of box.querySelectorAll('input[name^="colour"]')) {
      input.addEventListener("change", () => { colour = input.value; redraw(); });
    }
    new ResizeObserver(() => { shown = -1; describe(); redraw(); }).observe(plane);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { shown = -1; describe(); redraw(); });
  }
})();
