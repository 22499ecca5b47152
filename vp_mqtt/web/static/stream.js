// Pictures of the live page, and what to do when the stream of events stops.
"use strict";

(() => {
  const SILENT_MS = 12000; // the server sends a beat every 4 s
  const ASK_EVERY_MS = 2000;
  const MISSED = 3; // so many pictures one after another, and the one that is shown is an old one
  let source = null;
  let heardAt = Date.now();

  const offline = () => document.getElementById("offline");

  function heard() {
    heardAt = Date.now();
    offline().hidden = true;
  }

  // htmx's extension makes its streams with this function.
  htmx.createEventSource = (url) => {
    source = new EventSource(url);
    source.addEventListener("beat", heard);
    source.addEventListener("open", heard);
    return source;
  };

  // Neither a stream nor a picture says why it is refused. Whoever is not signed in any more is led there and back.
  let askedAt = -Infinity;

  async function ask() {
    if (performance.now() - askedAt < ASK_EVERY_MS) return;
    askedAt = performance.now();
    const answer = await fetch("/problems").catch(() => null);
    if (answer && answer.status === 401) window.location.reload();
  }

  document.addEventListener("htmx:sseError", () => {
    offline().hidden = false;
    ask();
  });
  document.addEventListener("htmx:sseMessage", heard);

  // A server whose machine has gone leaves the connection open: nothing is heard, and nothing breaks.
  setInterval(() => {
    if (source && Date.now() - heardAt > SILENT_MS) {
      offline().hidden = false;
      heardAt = Date.now();
      const silent = source;
      silent.close();
      silent.onerror(new Event("error"));
    }
  }, 1000);

  // A picture replaces the one before once it has been loaded: one at a time, and then the newest. Two elements for
  // each camera take turns: one is shown, the other one loads.
  const wanted = new Map();
  const loading = new Set();
  const spare = new Map();
  const missed = new Map();

  function load(place) {
    const camera = place.dataset.camera;
    const frame = wanted.get(camera);
    if (loading.has(camera) || frame === undefined) return;
    wanted.delete(camera);
    loading.add(camera);
    const image = spare.get(camera) || new Image();
    spare.delete(camera);
    const done = () => { loading.delete(camera); load(place); };
    image.onload = () => {
      missed.delete(camera);
      place.classList.remove("stale");
      const shown = place.querySelector("img");
      if (shown) {
        image.alt = shown.alt;
        shown.replaceWith(image);
        shown.onload = shown.onerror = null;
        spare.set(camera, shown);
      }
      done();
    };
    image.onerror = () => {
      missed.set(camera, (missed.get(camera) || 0) + 1);
      if (missed.get(camera) >= MISSED) place.classList.add("stale");
      ask();
      done();
    };
    image.src = `/cameras/${encodeURIComponent(camera)}/frames/${encodeURIComponent(frame)}`;
  }

  document.addEventListener("htmx:sseBeforeMessage", (event) => {
    const place = event.target;
    if (!place.classList || !place.classList.contains("picture")) return;
    event.preventDefault(); // the data is a frame's id, not HTML
    heard();
    if (event.detail.data) {
      wanted.set(place.dataset.camera, event.detail.data);
      load(place);
    }
  });
})();
