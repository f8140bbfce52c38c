// Shows the document that the file itself carries.

import { Pages, begin } from "./main.js";
import { readContent } from "./model.js";

begin(async (app) => {
  const pages = new Pages(app);
  pages.take(await readContent(document.getElementById("content").textContent));
  pages.show();
});
