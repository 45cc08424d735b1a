import { createRoot } from "react-dom/client";
import { Shop } from "./Shop";

const page = document.getElementById("shop")!;
const { url = "", publishableKey = "", customerToken = "", price = "" } = page.dataset;
createRoot(page).render(<Shop url={url} publishableKey={publishableKey} customerToken={customerToken} price={price} />);
