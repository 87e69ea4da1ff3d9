/* Folds and unfolds the blocks of diagrams, and sends `cnnspec:layer` for the layer that is chosen.
   Pages have, in `cnnspecDiagram`: unfolded(svg), the names of the blocks that are unfolded; unfold(svg, names), which
   folds all others; and reveal(svg, name), which shows a layer and marks it as chosen.
   The positions are those of cnnspec/diagram/place.py: sums over the rows and columns of grids. */
(() => {
  "use strict";

  function readLayout(svg) {
    svg.cnnspecLayout ??= JSON.parse(svg.dataset.layout);
    return svg.cnnspecLayout;
  }

  function measure(layout, folded, id) {
    const [width, height, left, right] = layout.sizes[id];
    const grid = layout.grids[id];
    if (!grid) return { width, height, axis: width / 2 };
    if (folded.has(id)) return { width, height, axis: width / 2, ports: spread(grid, width, layout.metrics) };
    const frame = { grid, inner: [], x: [], tops: [], bottoms: [], turns: [] };
    grid.cells.forEach(([, item], i) => {
      if (item !== null) frame.inner[i] = measure(layout, folded, item);
    });
    const [reachLeft, reachRight] = measureAcross(frame, layout.metrics);
    const padding = grid.ports ? layout.metrics.padding : 0;
    frame.axis = Math.max(reachLeft + padding, left);
    frame.width = frame.axis + Math.max(reachRight + padding, right);
    frame.x = frame.x.map((x) => x + frame.axis);
    measureDown(frame, layout.metrics);
    frame.height = frame.bottoms.at(-1);
    return frame;
  }

  function spread(grid, width, metrics) {
    const found = new Map();
    for (const role of ["entry", "exit"]) {
      const ports = grid.cells.filter((cell) => cell[0] === role).sort((a, b) => a[4] - b[4]);
      const step = Math.min(metrics.lane, width / (ports.length + 1));
      ports.forEach((port, i) => found.set(`${role} ${port[2]}`, width / 2 + (i - (ports.length - 1) / 2) * step));
    }
    return found;
  }

  function measureAcross(frame, metrics) {
    let [left, right] = [0, 0];
    frame.grid.segments.forEach(([columns, low, high], segment) => {
      const before = Array(columns).fill(0), behind = Array(columns).fill(0);
      frame.grid.cells.forEach(([, , , , column, of], i) => {
        if (of !== segment) return;
        const inner = frame.inner[i];
        before[column] = Math.max(before[column], inner ? inner.axis : metrics.lane / 2);
        behind[column] = Math.max(behind[column], inner ? inner.width - inner.axis : metrics.lane / 2);
      });
      const axes = [];
      let end = -metrics.column;
      for (let c = 0; c < columns; c++) {
        axes.push(end + metrics.column + before[c]);
        end = axes[c] + behind[c];
      }
      const middle = low === high ? axes[low] : (axes[low] - before[low] + axes[high] + behind[high]) / 2;
      left = Math.max(left, middle);
      right = Math.max(right, end - middle);
      frame.grid.cells.forEach(([, , , , column, of], i) => {
        if (of === segment) frame.x[i] = axes[column] - middle;
      });
    });
    return [left, right];
  }

  function measureDown(frame, metrics) {
    const { rows, ports, levels, cells } = frame.grid;
    const heights = Array(rows).fill(0);
    frame.inner.forEach((inner, i) => { heights[cells[i][3]] = Math.max(heights[cells[i][3]], inner.height); });
    let y = ports ? metrics.header : 0;
    heights.forEach((height, row) => {
      frame.tops.push(y);
      frame.bottoms.push(y + height);
      const gap = ports && (row === 0 || row === rows - 2) ? metrics.port_gap : metrics.gap;
      frame.turns.push(gap * metrics.turn);
      y += height + gap + metrics.level * (levels[row] ?? 0);
    });
  }

  function cornerOf(frame, i) {
    return [frame.x[i] - frame.inner[i].axis, frame.tops[frame.grid.cells[i][3]]];
  }

  function port(frame, i, tensor, role) {
    const [ownRole, , , first] = frame.grid.cells[i], inner = frame.inner[i];
    if (!inner) return [frame.x[i], ownRole === "lane" ? frame.tops[first] : ownRole === "exit" ? frame.height : 0];
    const [x, y] = cornerOf(frame, i);
    const across = inner.grid
      ? inner.x[inner.grid.cells.findIndex((cell) => cell[0] === role && cell[2] === tensor)]
      : inner.ports?.get(`${role} ${tensor}`) ?? inner.axis;
    return [x + across, y + (role === "exit" ? inner.height : 0)];
  }

  function pointsOf(frame, [tensor, , hops], metrics) {
    const points = [port(frame, hops[0][0], tensor, "exit")];
    for (const [, target, gap, level] of hops) {
      const end = port(frame, target, tensor, "entry");
      if (level !== null) {
        const turn = frame.bottoms[gap] + frame.turns[gap] + level * metrics.level;
        points.push([points.at(-1)[0], turn], [end[0], turn]);
      }
      points.push(end);
    }
    return simplified(points);
  }

  function simplified(points) {
    const kept = [points[0]];
    for (let i = 1; i < points.length; i++) {
      const point = points[i], before = points[i - 1];
      if (point[0] === before[0] && point[1] === before[1]) continue;
      while (kept.length > 1 && kept.at(-2)[0] === point[0] && kept.at(-1)[0] === point[0]) kept.pop();
      kept.push(point);
    }
    return kept;
  }

  const number = (n) => n.toFixed(1).replace(/\.0$/, "");
  const pair = ([x, y]) => `${number(x)} ${number(y)}`;

  function pathOf(points, radius) {
    const length = (a, b) => Math.hypot(b[0] - a[0], b[1] - a[1]);
    const towards = (a, b, by) => a.map((v, k) => v + ((b[k] - v) * by) / (length(a, b) || 1));
    const steps = [`M${pair(points[0])}`];
    for (let i = 1; i + 1 < points.length; i++) {
      const [before, corner, behind] = points.slice(i - 1, i + 2);
      const r = Math.min(radius, length(before, corner) / 2, length(corner, behind) / 2);
      steps.push(`L${pair(towards(corner, before, r))}Q${pair(corner)} ${pair(towards(corner, behind, r))}`);
    }
    return [...steps, `L${pair(points.at(-1))}`].join("");
  }

  function drawEdge(element, frame, edge, layout) {
    const points = pointsOf(frame, edge, layout.metrics), [x, y] = points.at(-1), half = 3 + edge[1] / 2;
    const target = edge[2].at(-1)[1], inner = frame.inner[target], hasHead = inner && !inner.grid;
    const [line, head] = element.children;
    head.setAttribute("display", hasHead ? "inline" : "none");
    head.setAttribute("points", [[x - half, y - 7], [x + half, y - 7], [x, y]].map(pair).join(" "));
    line.setAttribute("d", pathOf(hasHead ? [...points.slice(0, -1), [x, y - 3]] : points, layout.radius));
  }

  function drawInside(svg, layout, frame, container) {
    const items = new Map(), edges = [];
    for (const child of container.children) {
      if (child.dataset.edge !== undefined) edges[child.dataset.edge] = child;
      else items.set(Number(child.dataset.id), child);
    }
    frame.grid.edges.forEach((edge, i) => drawEdge(edges[i], frame, edge, layout));
    frame.grid.cells.forEach(([, item], i) => {
      if (item === null) return;
      const element = items.get(item), inner = frame.inner[i];
      element.setAttribute("transform", `translate(${pair(cornerOf(frame, i))})`);
      if (inner.grid) drawBlock(svg, layout, inner, element);
    });
  }

  function drawBlock(svg, layout, frame, element) {
    const rect = element.querySelector(":scope > rect"), header = element.querySelector(":scope > .toggle > .open");
    rect.setAttribute("width", number(frame.width));
    rect.setAttribute("height", number(frame.height));
    header.querySelector("rect").setAttribute("width", number(frame.width - 4));
    header.lastElementChild.setAttribute("x", number(frame.width - 9));
    drawInside(svg, layout, frame, element.querySelector(":scope > .inside"));
  }

  function reflow(svg) {
    const layout = readLayout(svg);
    const folded = new Set([...svg.querySelectorAll('.block[data-folded="true"]')].map((b) => Number(b.dataset.id)));
    const frame = measure(layout, folded, 0);
    drawInside(svg, layout, frame, svg.querySelector(".body"));
    const width = Math.round(Math.max(frame.width, layout.least) + 2 * layout.margin);
    const height = Math.round(frame.height + layout.corner[1] + layout.margin);
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  }

  function mark(block, isFolded) {
    block.dataset.folded = String(isFolded);
    block.querySelector(":scope > .toggle").setAttribute("aria-expanded", String(!isFolded));
  }

  function fold(toggle, isFolded) {
    mark(toggle.parentNode, isFolded);
    reflow(toggle.ownerSVGElement);
  }

  const blocksOf = (svg) => [...svg.querySelectorAll(".block")];
  const unfolded = (svg) => blocksOf(svg).filter((b) => b.dataset.folded === "false").map((b) => b.dataset.name);

  function unfold(svg, names) {
    const wanted = new Set(names);
    blocksOf(svg).forEach((block) => mark(block, !wanted.has(block.dataset.name)));
    reflow(svg);
  }

  function reveal(svg, name) {
    const layer = [...svg.querySelectorAll(".layer")].find((other) => other.dataset.name === name);
    if (!layer) return null;
    for (let block = layer.closest(".block"); block; block = block.parentNode.closest(".block")) mark(block, false);
    if (svg.dataset.layout) reflow(svg);
    highlight(layer);
    return layer;
  }

  function highlight(layer) {
    layer.ownerSVGElement.querySelectorAll(".layer.chosen").forEach((other) => other.classList.remove("chosen"));
    layer.classList.add("chosen");
  }

  function choose(layer) {
    highlight(layer);
    layer.ownerSVGElement.dispatchEvent(new CustomEvent("cnnspec:layer", { bubbles: true, detail: { name: layer.dataset.name } }));
  }

  function activate(button) {
    if (button.classList.contains("toggle")) fold(button, button.getAttribute("aria-expanded") === "true");
    else choose(button);
  }

  function step(button, by) {
    const all = [...button.ownerSVGElement.querySelectorAll("[role=button]")].filter((b) => b.getClientRects().length);
    all[all.indexOf(button) + by]?.focus();
  }

  const buttonOf = (event) => event.target.closest?.(".cnnspec-diagram [role=button]");

  document.addEventListener("click", (event) => {
    const button = buttonOf(event);
    if (button) activate(button);
  });

  document.addEventListener("keydown", (event) => {
    const button = buttonOf(event);
    if (!button || event.altKey || event.ctrlKey || event.metaKey) return;
    const isToggle = button.classList.contains("toggle");
    const actions = {
      Enter: () => activate(button),
      " ": () => activate(button),
      ArrowDown: () => step(button, 1),
      ArrowUp: () => step(button, -1),
      ArrowRight: () => isToggle && fold(button, false),
      ArrowLeft: () => isToggle && fold(button, true),
    };
    if (!(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
  });

  window.cnnspecDiagram = { unfolded, unfold, reveal };
})();
