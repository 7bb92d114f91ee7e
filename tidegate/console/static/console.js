// Everything a page does by itself. Each part finds its places by their attributes.
import "./choose-theme.js";
import "./dialogs.js";
import "./forms.js";
import "./live.js";
