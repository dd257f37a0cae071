// Nothing is taught yet, so nothing can be asked or looked at: where to begin.

import { el } from "../core/dom.js";
import { may } from "../core/session.js";
import { t } from "../core/texts.js";

/** What views show on a system without a context. */
export const nothingTaught = () =>
  el(
    "section.empty", {},
    el("h2", {}, t("first.title")), el("p", {}, t("first.what")),
    may("teach") ? el("p", {}, el("a.button.primary", { href: "#/teach" }, t("first.teach"))) : el("p", {}, t("first.no_right")),
  );
