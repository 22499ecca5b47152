// Says on every page what went wrong with a request: the server does not answer, or refuses.
"use strict";

(() => {
  const AGAIN = "loaded-again";
  let refused = null; // what was asked for when something was refused; null: anything that succeeds settles it

  const place = (id) => document.getElementById(id);

  function say(text, request) {
    refused = request;
    // The same words again and again would be read aloud each time.
    if (place("failed").textContent !== text) place("failed").textContent = text;
    place("failed").hidden = false;
  }

  const isChange = (detail) => detail.requestConfig.verb !== "get";

  document.addEventListener("htmx:sendError", (event) => {
    place("offline").hidden = false;
    if (isChange(event.detail)) say("The server does not answer. Try again when it does.", null);
  });

  document.addEventListener("htmx:beforeOnLoad", (event) => {
    const { xhr, pathInfo } = event.detail;
    place("offline").hidden = true;
    // htmx then loads the page again, and what was asked for is lost.
    if (xhr.getResponseHeader("HX-Refresh") === "true") sessionStorage.setItem(AGAIN, "1");
    const settles = refused === null || pathInfo.requestPath === refused || isChange(event.detail);
    if (xhr.status < 400 && settles) place("failed").hidden = true;
  });

  document.addEventListener("htmx:responseError", (event) => {
    const { xhr, pathInfo } = event.detail;
    if (xhr.status === 401) {
      // The server, or the proxy before it, leads to where people sign in, and back.
      window.location.reload();
    } else if (xhr.getResponseHeader("Content-Type")?.startsWith("text/plain")) {
      say(xhr.responseText.trim(), pathInfo.requestPath);
    }
  });

  document.addEventListener("DOMContentLoaded", () => {
    if (sessionStorage.getItem(AGAIN) === null) return;
    sessionStorage.removeItem(AGAIN);
    say("The page was out of date and was loaded again. Please repeat your last action.", "");
  });
})();
