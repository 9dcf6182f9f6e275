"use strict";
// Figures tell their numbers where one points or goes by keyboard; those along commits, releases or sizes can be zoomed.
for (const figure of document.querySelectorAll("figure")) {
  const svg = figure.querySelector("svg.figure");
  const box = svg.parentElement;
  const numbersIn = (path) => path.getAttribute("d").match(/-?[\d.]+/g).map(Number);
  const make = (name, values, ...children) => {
    const made = Object.assign(document.createElement(name), values);
    made.append(...children);
    return made;
  };
  // A title is what browsers show by themselves; the script shows it sooner, and by keyboard.
  const points = [...svg.querySelectorAll("title")].map((title) => {
    const [line, at, value] = title.textContent.split("\n");
    const shape = title.parentElement;
    title.remove();
    return { shape, line, at, value };
  });
  if (!points.length) continue;
  const tip = figure.appendChild(make("div", { className: "tip", role: "status" }));
  let present = -1;

  const tell = (number) => {
    points[present]?.shape.classList.remove("at");
    if (number === present) return;
    present = number;
    tip.replaceChildren();
    if (number < 0) return;
    const { shape, line, at, value } = points[number];
    shape.classList.add("at");
    tip.append(make("b", {}, line), make("span", {}, at), make("span", {}, value));
    const [place, frame] = [shape.getBoundingClientRect(), figure.getBoundingClientRect()];
    const left = place.left + place.width / 2 - frame.left - tip.offsetWidth / 2;
    tip.style.left = `${Math.max(0, Math.min(left, frame.width - tip.offsetWidth))}px`;
    tip.style.top = `${place.top - frame.top - tip.offsetHeight - 8}px`;
  };

  // Panels that can be zoomed: a window on the x axis, in parts of the panel's width.
  let [from, to] = [0, 1];
  const places = new Map();
  const panels = [...svg.querySelectorAll(".along")].map((panel) => {
    const xs = numbersIn(panel.querySelector("path")).filter((_, number) => number % 2 === 0);
    const left = Math.min(...xs);
    const width = Math.max(...xs) - left;
    const [moved, stretched] = [[], []];
    for (const clipped of [...panel.querySelectorAll("[clip-path]")]) {
      if (clipped.closest(".tick")) continue;
      // What is stretched must not stretch its frame.
      const frame = document.createElementNS(svg.namespaceURI, "g");
      frame.setAttribute("clip-path", clipped.getAttribute("clip-path"));
      clipped.removeAttribute("clip-path");
      clipped.replaceWith(frame);
      frame.append(clipped);
      for (const shape of clipped.tagName === "g" ? clipped.children : [clipped]) {
        const x = Number(shape.getAttribute("x"));
        if (x) moved.push([shape, x]);
        else stretched.push(shape);
      }
    }
    for (const point of points) {
      if (!panel.contains(point.shape)) continue;
      point.part = (Number(point.shape.getAttribute("x")) - left) / width;
      places.set(point.part.toFixed(4), [point.part, point.at]);
    }
    const ticks = [...panel.querySelectorAll(".tick")].map((tick) => {
      const text = tick.querySelector("text");
      return { tick, text, x: Number(tick.querySelector("use").getAttribute("x")), name: text?.textContent };
    });
    return { left, width, moved, stretched, ticks };
  });
  const leaders = [...svg.querySelectorAll(".leader path")].map((path) => [path, numbersIn(path)]);

  const draw = () => {
    const factor = 1 / (to - from);
    const isWhole = factor === 1;
    const seen = [...places.values()].sort(([one], [other]) => one - other).filter(([part]) => part >= from && part <= to);
    for (const { left, width, moved, stretched, ticks } of panels) {
      const place = (part) => left + (part - from) * factor * width;
      for (const [shape, x] of moved) shape.setAttribute("x", place((x - left) / width));
      const shift = place(-left / width);
      for (const shape of stretched) shape.setAttribute("transform", isWhole ? "" : `matrix(${factor} 0 0 1 ${shift} 0)`);
      const step = Math.ceil(seen.length / ticks.length);
      ticks.forEach(({ tick, text, x, name }, number) => {
        const chosen = isWhole ? [(x - left) / width, name] : seen[number * step];
        tick.style.display = chosen ? "" : "none";
        if (!chosen) return;
        tick.setAttribute("transform", `translate(${place(chosen[0]) - x} 0)`);
        if (text) text.textContent = isWhole ? name : chosen[1].replace(/^.* = /, "").split(" ")[0];
      });
    }
    // The line's end may be out of sight: what leads to its name becomes a key beside it.
    for (const [path, [x, y, endX, endY]] of leaders) {
      path.setAttribute("d", isWhole ? `M ${x} ${y} L ${endX} ${endY}` : `M ${endX - 8} ${endY} L ${endX} ${endY}`);
    }
    figure.classList.toggle("zoomed", !isWhole);
    tell(-1);
  };
  const look = (begin, end) => {
    const length = Math.min(1, Math.max(end - begin, 0.001));
    from = Math.max(0, Math.min(begin, 1 - length));
    to = from + length;
    if (length === 1) [from, to] = [0, 1];
    draw();
  };
  // What is at this part of the window stays there.
  const scale = (factor, part = 0.5) => {
    const at = from + part * (to - from);
    const length = (to - from) / factor;
    if (factor === 0) look(0, 1);
    else look(at - part * length, at + (1 - part) * length);
  };
  const locate = (event) => {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const panel = panels.find(({ left, width }) => x >= left && x <= left + width);
    return { x, y, part: panel && (x - panel.left) / panel.width };
  };
  const isSeen = ({ part }) => part === undefined || (part >= from && part <= to);

  let began = null;
  svg.addEventListener("pointermove", (event) => {
    const { x, y } = locate(event);
    if (began) began.band.setAttribute("x", Math.min(x, began.x)), began.band.setAttribute("width", Math.abs(x - began.x));
    let [nearest, least] = [points.findIndex(({ shape }) => shape === event.target), 20];
    points.forEach((point, number) => {
      if (point.shape.tagName !== "use" || !isSeen(point)) return;
      const away = Math.hypot(point.shape.getAttribute("x") - x, point.shape.getAttribute("y") - y);
      if (away < least) [nearest, least] = [number, away];
    });
    if (nearest !== present) tell(nearest);
  });
  figure.addEventListener("pointerleave", () => tell(-1));
  box.addEventListener("blur", () => tell(-1));
  box.addEventListener("scroll", () => tell(-1));
  box.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const factor = panels.length ? { "+": 2, "=": 2, "-": 0.5, 0: 0 }[event.key] : undefined;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (factor !== undefined) scale(factor);
    else if (step) {
      const next = present < 0 && step < 0 ? points.length - 1 : (present + step + points.length) % points.length;
      const { part } = points[next];
      if (!isSeen(points[next])) look(part - (to - from) / 2, part + (to - from) / 2);
      tell(next);
    } else if (event.key === "Escape" && present >= 0) tell(-1);
    else return;
    event.preventDefault();
  });
  const hint = make("span", { className: "hint" }, "Point at a mark, or go from mark to mark with the arrow keys.");
  const tools = make("div", { className: "tools" }, hint);
  box.before(tools);
  if (!panels.length) continue;

  hint.append(" A drag chooses a stretch; Ctrl and the wheel, or + \u2212 0, zoom.");
  for (const [label, text, factor] of [["All", "All", 0], ["Zoom out", "\u2212", 0.5], ["Zoom in", "+", 2]]) {
    const button = make("button", { type: "button", ariaLabel: label }, text);
    button.addEventListener("click", () => scale(factor));
    tools.prepend(button);
  }
  box.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      scale(event.deltaY < 0 ? 1.25 : 0.8, locate(event).part);
    },
    { passive: false },
  );
  svg.addEventListener("dblclick", () => scale(0));
  svg.addEventListener("pointerdown", (event) => {
    const { x, part } = locate(event);
    if (event.button !== 0 || event.pointerType === "touch" || part === undefined) return;
    event.preventDefault(); // no text is chosen
    box.focus({ preventScroll: true });
    const band = document.createElementNS(svg.namespaceURI, "rect");
    for (const [key, value] of Object.entries({ class: "band", x, y: 0, width: 0, height: "100%" })) band.setAttribute(key, value);
    svg.append(band);
    began = { x, part, band };
  });
  window.addEventListener("pointerup", (event) => {
    if (!began) return;
    const { part: start, x: startX, band } = began;
    began = null;
    band.remove();
    const { x, part = x > startX ? 1 : 0 } = locate(event);
    if (Math.abs(x - startX) < 6) return;
    const [low, high] = [Math.min(start, part), Math.max(start, part)].map((one) => from + one * (to - from));
    look(low, high);
  });
}
