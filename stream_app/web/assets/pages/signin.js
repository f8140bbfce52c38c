// Where people show their token; it goes to the server once and is kept by nobody here.

import { element, freshId } from "../dom.js";

export function signInPage(app, server) {
  const id = freshId("token");
  const said = element("p", { class: "said", role: "alert" });
  const field = element("input", { id, name: "token", type: "password", required: true, autocomplete: "current-password", spellcheck: "false" });
  const submit = async (event) => {
    event.preventDefault();
    said.textContent = "";
    try {
      await server.signIn(field.value.trim());
      location.reload();
    } catch (error) {
      said.textContent = error.code === "token-unknown" ? "This token is not known. Was all of it copied?" : `That did not work: ${error.message}.`;
      field.select();
    }
  };
  document.title = "Sign in – Customer segments";
  app.className = "alone";
  app.replaceChildren(element("main", {}, element("section", { class: "card sign-in", "aria-labelledby": `${id}-title` },
    element("h1", { id: `${id}-title`, tabindex: "-1" }, "Customer segments"),
    element("form", { onsubmit: submit },
      element("label", { for: id }, "Your token"),
      field,
      element("p", { class: "small" }, "It begins with segmenter_ and is from whoever runs this service (“segmenter api token”). You stay signed in for twelve hours, in this browser alone."),
      said,
      element("button", { type: "submit" }, "Sign in")))));
  field.focus();
}
