// A first look at a file of texts, in the browser: its format, and its first rows.
//
//   text,answer              {"text": "I forgot my password", "answer": "reset-password"}
//   I forgot my password,reset-password
//
// This is for the eye alone. What a row means, and which rows are wrong, the gateway says (v1/rehearsals).

export const CSV = "text/csv";
export const JSONL = "application/x-ndjson";

/** "application/x-ndjson" if the text begins as JSON does, else "text/csv". */
export const formatOf = (text) => (/^\uFEFF?\s*\{/.test(text) ? JSONL : CSV);

/** The first rows as {head, rows}: names of columns, and cells as texts. */
export function peek(text, most = 8) {
  const clean = text.replace(/^\uFEFF/, "");
  return formatOf(clean) === JSONL ? peekJson(clean, most) : peekCsv(clean, most);
}

function peekJson(text, most) {
  const lines = text.split(/\r?\n/, most * 4).filter((line) => line.trim()).slice(0, most);
  const objects = lines.map((line) => {
    try {
      return { ...JSON.parse(line) };
    } catch {
      return { text: line };
    }
  });
  const head = [...new Set(["text", "answer", ...objects.flatMap(Object.keys)])].slice(0, 8);
  const cell = (value) => (value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));
  return { head, rows: objects.map((object) => head.map((name) => cell(object[name]))) };
}

function peekCsv(text, most) {
  const first = text.split(/\r?\n/, 1)[0];
  const comma = ["\t", ";", ","].find((mark) => first.includes(mark)) ?? ",";
  const rows = cells(text, comma, most + 1);
  const named = rows[0]?.some((cell) => ["text", "question"].includes(cell.trim().toLowerCase())); // as operations/files/columns.py has it
  const width = Math.max(1, ...rows.map((row) => row.length));
  const head = named ? rows[0] : ["text", "answer", ...Array(width).fill("")].slice(0, width);
  return { head, rows: rows.slice(named ? 1 : 0, most + (named ? 1 : 0)) };
}

// Quoted cells may hold commas, line ends, and quotes written twice.
function cells(text, comma, most) {
  const rows = [[]];
  let cell = "";
  let quoted = false;
  for (let i = 0; i < text.length && rows.length <= most; i++) {
    const character = text[i];
    if (quoted && character === '"' && text[i + 1] === '"') (cell += '"'), i++;
    else if (character === '"' && (quoted || cell === "")) quoted = !quoted;
    else if (quoted) cell += character;
    else if (character === comma) rows.at(-1).push(cell), (cell = "");
    else if (character === "\n") rows.at(-1).push(cell), (cell = ""), rows.push([]);
    else if (character !== "\r") cell += character;
  }
  rows.at(-1).push(cell);
  return rows.slice(0, most).filter((row) => row.some((each) => each.trim()));
}
