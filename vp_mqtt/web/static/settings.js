// Regions are drawn, moved and resized on the picture. Without it, their edges are typed.
"use strict";

(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const LEAST = 1; // percent
  const EDGES = ["left", "top", "right", "bottom"];

  const round = (value) => Math.round(Math.min(100, Math.max(0, value)) * 10) / 10;

  class Editor {
    constructor(form) {
      this.form = form;
      this.whole = form.querySelector(".whole-picture");
      this.svg = this.whole.querySelector("svg");
      this.list = form.querySelector(".region-rows");
      this.width = Number(this.whole.dataset.width);
      this.height = Number(this.whole.dataset.height);
      this.isOpen = !form.querySelector("fieldset").disabled;
      this.list.addEventListener("input", () => this.draw());
      if (this.isOpen) this.whole.addEventListener("pointerdown", (event) => this.grasp(event));
      this.draw();
    }

    rows() { return [...this.list.querySelectorAll(".region-row")]; }

    name(row) { return row.querySelector("input[name^=region-]"); }

    field(row, edge) { return row.querySelector(`[data-edge=${edge}]`); }

    read(row) {
      const values = EDGES.map((edge) => this.field(row, edge));
      if (!this.name(row).value.trim() || values.some((one) => one.value === "" || !Number.isFinite(one.valueAsNumber))) return null;
      const [left, top, right, bottom] = values.map((one) => one.valueAsNumber);
      return { left, top, right, bottom };
    }

    write(row, box) {
      EDGES.forEach((edge) => { this.field(row, edge).value = String(round(box[edge])); });
      this.draw();
    }

    // The outlines follow the fields.
    draw() {
      this.svg.replaceChildren();
      this.rows().forEach((row, number) => {
        const box = this.read(row);
        // An empty row is taken away when it is saved: its edges are not asked for.
        EDGES.forEach((edge) => { this.field(row, edge).required = Boolean(this.name(row).value.trim()); });
        if (!box || box.right <= box.left || box.bottom <= box.top) return;
        const group = document.createElementNS(SVG, "g");
        group.setAttribute("class", `region-${number % 8}`);
        const make = (tag, values) => {
          const one = document.createElementNS(SVG, tag);
          Object.entries(values).forEach(([key, value]) => one.setAttribute(key, value));
          group.append(one);
          return one;
        };
        const x = (box.left * this.width) / 100;
        const y = (box.top * this.height) / 100;
        const size = this.height / 18;
        make("rect", { x, y, width: ((box.right - box.left) * this.width) / 100, height: ((box.bottom - box.top) * this.height) / 100 });
        make("text", { x: x + size / 3, y: y + size * 1.1, "font-size": size }).textContent = this.name(row).value;
        if (this.isOpen) {
          make("circle", { cx: (box.right * this.width) / 100, cy: (box.bottom * this.height) / 100, r: size / 3 });
        }
        this.svg.append(group);
      });
    }

    place(event) {
      const frame = this.whole.getBoundingClientRect();
      return { x: round((100 * (event.clientX - frame.left)) / frame.width), y: round((100 * (event.clientY - frame.top)) / frame.height) };
    }

    // What is under the pointer: the corner of a region, a region, or nothing.
    find(at) {
      const near = 3;
      const all = this.rows().map((row) => ({ row, box: this.read(row) })).filter((one) => one.box).reverse();
      const corner = all.find(({ box }) => Math.abs(at.x - box.right) < near && Math.abs(at.y - box.bottom) < near);
      if (corner) return { ...corner, how: "resize" };
      const inside = all.find(({ box }) => at.x > box.left && at.x < box.right && at.y > box.top && at.y < box.bottom);
      return inside ? { ...inside, how: "move" } : null;
    }

    spare() {
      const free = this.rows().find((row) => !this.name(row).value.trim());
      return free || this.add();
    }

    add() {
      const last = this.rows().at(-1);
      const number = this.rows().length;
      const row = last.cloneNode(true);
      row.querySelectorAll("input").forEach((input) => {
        input.name = input.name.replace(/-\d+$/, `-${number}`);
        input.value = "";
      });
      row.querySelector(".swatch").setAttribute("class", `swatch region-${number % 8}`);
      this.list.append(row);
      return row;
    }

    freeName() {
      const taken = new Set(this.rows().map((row) => this.name(row).value.trim()));
      let number = 1;
      while (taken.has(`part${number}`)) number += 1;
      return `part${number}`;
    }

    grasp(event) {
      if (event.button !== 0) return;
      event.preventDefault();
      const start = this.place(event);
      let held = this.find(start);
      const before = held && { ...held.box };
      const move = (next) => {
        const at = this.place(next);
        if (!held) {
          // A click alone draws nothing.
          if (Math.abs(at.x - start.x) < LEAST || Math.abs(at.y - start.y) < LEAST) return;
          held = { row: this.spare(), how: "draw" };
          this.name(held.row).value = this.freeName();
        }
        if (held.how === "draw") {
          this.write(held.row, {
            left: Math.min(start.x, at.x), right: Math.max(start.x, at.x),
            top: Math.min(start.y, at.y), bottom: Math.max(start.y, at.y),
          });
        } else if (held.how === "resize") {
          this.write(held.row, { ...before, right: Math.max(before.left + LEAST, at.x), bottom: Math.max(before.top + LEAST, at.y) });
        } else {
          const dx = Math.min(100 - before.right, Math.max(-before.left, at.x - start.x));
          const dy = Math.min(100 - before.bottom, Math.max(-before.top, at.y - start.y));
          this.write(held.row, { left: before.left + dx, right: before.right + dx, top: before.top + dy, bottom: before.bottom + dy });
        }
      };
      const end = () => {
        this.whole.removeEventListener("pointermove", move);
        if (held && held.how === "draw") {
          if (!this.rows().some((row) => !this.name(row).value.trim())) this.add();
          this.name(held.row).focus();
          this.name(held.row).select();
        }
      };
      this.whole.setPointerCapture(event.pointerId);
      this.whole.addEventListener("pointermove", move);
      this.whole.addEventListener("pointerup", end, { once: true });
      this.whole.addEventListener("pointercancel", end, { once: true });
    }
  }

  document.querySelectorAll(".needs-script").forEach((part) => { part.hidden = false; });
  document.querySelectorAll(".camera-setting").forEach((form) => new Editor(form));
})();
