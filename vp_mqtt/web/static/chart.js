// The response times of the boards, with the deadline as a line.
"use strict";

(() => {
  const COLOURS = 8; // --line-0 to --line-7 in page.css
  const HEIGHT = 240;
  let chart = null;
  let shape = "";
  let newest = null;

  const POWERS = [0.1, 1, 10, 100, 1000, 10000, 100000];

  const clock = (time) => new Date(time * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const width = (place) => Math.max(240, place.clientWidth);

  function options(place, data) {
    const ink = style("--ink-2");
    const axis = { stroke: ink, grid: { stroke: style("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const series = data.boards.map((board) => ({
      label: `variant ${board.variant}`,
      stroke: style(`--line-${board.variant % COLOURS}`),
      width: 1.5,
      points: { show: false },
      value: (_, ms) => (ms == null ? "" : `${ms.toFixed(1)} ms`),
    }));
    const deadline = { label: "deadline", stroke: style("--bad"), width: 1.5, dash: [6, 4], points: { show: false },
      value: (_, ms) => (ms == null ? "" : `${ms} ms`) };
    return {
      width: width(place),
      height: HEIGHT,
      padding: [8, 32, 0, 0],
      cursor: { y: false },
      // From 1 ms on, by powers: boards and the deadline are far apart.
      scales: { x: { time: true }, y: { distr: 3, range: (_, least, most) => [Math.max(0.1, least * 0.7), most * 1.4] } },
      axes: [
        { ...axis, space: 110, values: (_, ticks) => ticks.map(clock) },
        { ...axis, size: 48, splits: (_, _axis, least, most) => POWERS.filter((ms) => ms >= least && ms <= most), values: (_, ticks) => ticks.map((ms) => `${ms}`) },
      ],
      series: [{ label: "time", value: (_, time) => (time == null ? "" : clock(time)) }, ...series, ...(data.deadline == null ? [] : [deadline])],
    };
  }

  function rows(data) {
    const times = data.times;
    // 0 has no place on a scale of powers.
    const boards = data.boards.map((board) => board.ms.map((ms) => (ms == null ? null : Math.max(ms, 0.1))));
    return [times, ...boards, ...(data.deadline == null ? [] : [times.map(() => data.deadline)])];
  }

  function draw(place) {
    if (!newest) return;
    const wanted = JSON.stringify([newest.boards.map((board) => board.variant), newest.deadline]);
    if (chart && wanted === shape) {
      chart.setData(rows(newest));
      return;
    }
    if (chart) chart.destroy();
    shape = wanted;
    place.replaceChildren();
    chart = new uPlot(options(place, newest), rows(newest), place);
  }

  document.addEventListener("htmx:sseBeforeMessage", (event) => {
    if (event.target.id !== "chart") return;
    event.preventDefault(); // the data is JSON, not HTML
    newest = JSON.parse(event.detail.data);
    draw(event.target);
  });

  function redraw() {
    const place = document.getElementById("chart");
    if (chart) chart.destroy();
    chart = null;
    shape = "";
    draw(place);
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("resize", () => { if (chart) chart.setSize({ width: width(document.getElementById("chart")), height: HEIGHT }); });
})();
