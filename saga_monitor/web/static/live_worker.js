// Holds one stream for all tabs of this browser: HTTP/1.1 allows six connections to a server.
// Tabs say what they show and whether they are seen; the stream ends while no tab is seen.
const tabs = new Map(); // port -> {topic, seen}
let source = null;
let asked = "";

function wanted() {
  const topics = new Set();
  for (const tab of tabs.values()) if (tab.seen && tab.topic) topics.add(tab.topic);
  return [...topics].sort();
}

function connect() {
  const topics = wanted();
  const query = topics.map((topic) => "topic=" + encodeURIComponent(topic)).join("&");
  if (query === asked && source && source.readyState !== EventSource.CLOSED) return;
  if (source) source.close();
  source = null;
  asked = query;
  if (!topics.length) return;
  source = new EventSource("/ui/live?" + query);
  source.onopen = () => tell({ state: "live" }, topics);
  source.onerror = () => tell({ state: "away" }, topics);
  source.addEventListener("changed", (event) => tell({ state: "changed" }, JSON.parse(event.data)));
}

function tell(message, topics) {
  for (const [port, tab] of tabs) if (topics.includes(tab.topic)) port.postMessage(message);
}

onconnect = (event) => {
  const port = event.ports[0];
  port.onmessage = ({ data }) => {
    if (data.gone) tabs.delete(port);
    else tabs.set(port, data);
    connect();
  };
};
