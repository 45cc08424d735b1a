// A paid page in a frame: tells the seller's page, which goes on or stays.
"use strict";
parent.postMessage({ embeddedCheckout: "complete", url: document.getElementById("done").dataset.url || null }, "*");
