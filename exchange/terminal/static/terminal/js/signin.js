/** The sign-in dialog and the buttons that lead to it. */

import { byId } from "./dom.js";
import { gettext } from "./i18n.js";
import { explain } from "./problems.js";
import { toast } from "./toast.js";

export function startSignIn(session) {
  const dialog = byId("sign-in-dialog");
  const form = byId("sign-in-form");
  const open = () => {
    byId("sign-in-error").textContent = "";
    dialog.showModal();
    byId("sign-in-email").focus();
  };
  byId("sign-in").addEventListener("click", open);
  byId("sign-in-to-trade").addEventListener("click", open);
  byId("sign-out").addEventListener("click", async () => {
    try {
      await session.signOut();
    } catch (problem) {
      toast(explain(problem), "bad");
    }
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [email, password] = [byId("sign-in-email"), byId("sign-in-password")];
    const submit = byId("sign-in-submit");
    submit.disabled = true;
    byId("sign-in-error").textContent = "";
    try {
      await session.signIn(email.value.trim(), password.value);
      password.value = "";
      dialog.close();
    } catch (problem) {
      byId("sign-in-error").textContent = problem.code === "invalid_request" ? gettext("Enter your e-mail address and password.") : explain(problem);
      password.select();
    } finally {
      submit.disabled = false;
    }
  });
}
