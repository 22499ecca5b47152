// The teaching pages: picking many pictures, keys, and capturing while a button is held. Without it, all forms work.
"use strict";

(() => {
  const boxes = () => [...document.querySelectorAll(".pick input[type=checkbox]")];
  let anchor = -1; // where a row of picked pictures begins
  let focused = -1; // which picture had the focus before the page's parts were replaced
  let opened = []; // which logs were open then, and how far they were scrolled

  function enhance() {
    document.querySelectorAll(".needs-script").forEach((part) => { part.hidden = false; });
    const button = document.getElementById("capture-button");
    if (button) button.textContent = "Hold to capture";
  }

  // Which form was sent by which button is lost when a key sends it: the button is clicked.
  function press(button) {
    const form = button.closest("form.sorting");
    if (form && !boxes().some((box) => box.checked) && boxes().includes(document.activeElement)) {
      document.activeElement.checked = true;
    }
    button.click();
  }

  function columns(all) {
    const top = all[0].closest(".pick").offsetTop;
    const first = all.findIndex((box) => box.closest(".pick").offsetTop !== top);
    return first < 0 ? all.length : first;
  }

  function move(key) {
    const all = boxes();
    if (!all.length) return false;
    const at = all.indexOf(document.activeElement);
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(all), ArrowDown: columns(all) }[key];
    const next = at < 0 ? 0 : at + step;
    if (next >= 0 && next < all.length) all[next].focus();
    return true;
  }

  function guess(box) {
    const picture = box.closest(".pick");
    const name = picture.dataset.guess;
    const button = [...document.querySelectorAll(".class-button")].find((one) => one.value === name);
    if (button) press(button);
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    const isPicture = target.matches(".pick input");
    if (!isPicture && target.matches("input, select, textarea")) return;
    if (event.key.startsWith("Arrow")) {
      if (document.querySelector(".sorting") && move(event.key)) event.preventDefault();
    } else if (event.key === "Enter" && isPicture) {
      event.preventDefault();
      guess(target);
    } else {
      const button = [...document.querySelectorAll("[data-shortcut]")].find((one) => one.dataset.shortcut === event.key);
      if (button) {
        event.preventDefault();
        press(button);
      }
    }
  });

  document.addEventListener("click", (event) => {
    const all = boxes();
    if (event.target.closest("[data-pick-all]")) {
      const pick = !all.every((box) => box.checked);
      all.forEach((box) => { box.checked = pick; });
      return;
    }
    const at = all.indexOf(event.target);
    if (at < 0) return;
    if (event.shiftKey && anchor >= 0) {
      for (let i = Math.min(at, anchor); i <= Math.max(at, anchor); i += 1) all[i].checked = true;
    }
    anchor = at;
  });

  // With Shift, browsers select the text between two clicks.
  document.addEventListener("mousedown", (event) => {
    if (event.shiftKey && event.target.closest(".pick")) event.preventDefault();
  });

  document.addEventListener("htmx:beforeSwap", (event) => {
    focused = boxes().indexOf(document.activeElement);
    opened = [...document.querySelectorAll("details[open]")].map((one) => [one.id, one.querySelector(".log").scrollTop]);
    // What cannot be done is said in the page.
    if (event.detail.xhr.getResponseHeader("Content-Type")?.startsWith("text/html")) event.detail.shouldSwap = true;
  });

  document.addEventListener("htmx:afterSwap", () => {
    opened.forEach(([id, scrolled]) => {
      const one = document.getElementById(id);
      if (!one) return;
      one.open = true;
      one.querySelector(".log").scrollTop = scrolled;
    });
  });

  document.addEventListener("htmx:afterSettle", (event) => {
    // Parts that are asked for again and again have no pictures.
    if (event.detail.target.id !== "teach") return;
    anchor = -1;
    enhance();
    const all = boxes();
    if (focused >= 0 && all.length) all[Math.min(focused, all.length - 1)].focus();
  });

  // The picture of the camera that is captured from, one request at a time.
  function look() {
    const shown = document.getElementById("capture-picture");
    const form = document.getElementById("capture");
    if (!shown || !form || document.hidden) return;
    const camera = form.elements.camera.value;
    const image = new Image();
    image.onload = () => {
      image.id = shown.id;
      image.alt = `What ${camera} sees`;
      if (shown.isConnected) shown.replaceWith(image);
    };
    image.src = `/cameras/${encodeURIComponent(camera)}/frames/newest-${Date.now()}`;
  }
  setInterval(look, 700);

  const LET_GO_MS = 500;
  let isHeld = false;
  let letGoAt = -Infinity;

  async function hold() {
    const form = document.getElementById("capture");
    const said = document.getElementById("capture-said");
    let kept = 0;
    isHeld = true;
    while (isHeld) {
      const body = new URLSearchParams(new FormData(form));
      body.set("count", "1");
      let answer;
      try {
        answer = await fetch(form.action, { method: "POST", body });
      } catch {
        said.textContent = "The server does not answer.";
        return;
      }
      const text = await answer.text();
      if (!answer.ok) {
        said.textContent = text;
        return;
      }
      kept += Number(text);
      said.textContent = `${kept} captured into ${form.elements.class.value}` + (text === "0" ? ": this looks like one before, move it" : "");
      await new Promise((resolve) => { setTimeout(resolve, 250); });
    }
    const chosen = new URLSearchParams({ camera: form.elements.camera.value, into: form.elements.class.value });
    window.history.replaceState(null, "", `/teach?${chosen}#capture`);
    // To go to an address that may be this one would only scroll.
    window.location.reload();
  }

  const isCapture = (event) => event.target.id === "capture-button";
  document.addEventListener("pointerdown", (event) => { if (isCapture(event) && !isHeld) hold(); });
  document.addEventListener("keydown", (event) => {
    if (isCapture(event) && event.key === " " && !isHeld) { event.preventDefault(); hold(); }
  });
  ["pointerup", "pointercancel", "keyup", "blur"].forEach((name) => {
    window.addEventListener(name, () => {
      if (isHeld) letGoAt = performance.now();
      isHeld = false;
    });
  });
  // Letting the button go sends the form, too. Enter, and what presses it without a pointer, cannot hold it: they
  // capture ten, as without this script.
  document.addEventListener("submit", (event) => {
    if (event.target.id !== "capture") return;
    if (isHeld || performance.now() - letGoAt < LET_GO_MS) event.preventDefault();
    else document.getElementById("capture-said").textContent = "Ten pictures are captured: move the thing, turn it.";
  });
  document.addEventListener("contextmenu", (event) => { if (isCapture(event)) event.preventDefault(); });

  document.addEventListener("DOMContentLoaded", enhance);
})();
