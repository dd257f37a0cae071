// A first look at a file of texts, in the browser: its format, and its first rows.
//
//   text,answer              {"text": "I forgot my password", "answer": "reset-password"}
//   I forgot my password,reset-password
//
// This is for the eye alone. What a row means, and which rows are wrong, the gateway says (v1/rehearsals).

export const CSV = "text/csv";
export const JSONL = "application/x-ndjson";

const LOOKED_AT = 1 << 16; // bytes: the first rows are in them
const MARKS = [["utf-16le", 0xff, 0xfe], ["utf-16be", 0xfe, 0xff]]; // as operations/files/lines.py has them

/** What a file begins with, as a text. Bytes that are none are shown as U+FFFD. */
export function beginning(bytes) {
  const [encoding = "utf-8"] = MARKS.find(([, ...mark]) => mark.every((byte, index) => bytes[index] === byte)) ?? [];
  return new TextDecoder(encoding).decode(bytes.subarray(0, LOOKED_AT), { stream: true }); // it may end within a character
}

/** By the end of the file's name; else "application/x-ndjson" if the text begins as JSON does, else "text/csv". */
export function formatOf(text, name = "") {
  if (/\.(csv|tsv)$/i.test(name)) return CSV;
  return /\.(jsonl|ndjson)$/i.test(name) || /^\s*(\{|\[\s*\{)/.test(text) ? JSONL : CSV;
}

/** The first rows as {head, rows, named}: names of columns, cells as texts, and whether the file itself names them. */
export function peek(text, format, most = 8) {
  const lines = text.replaceAll(/\r\n?/g, "\n");
  return format === JSONL ? peekJson(lines, most) : peekCsv(lines, most);
}

function peekJson(text, most) {
  const lines = text.split("\n", most * 4).filter((line) => line.trim()).slice(0, most);
  const objects = lines.map(objectOf);
  const head = [...new Set(["text", "answer", ...objects.flatMap(Object.keys)])].slice(0, 8);
  const cell = (value) => (value === undefined || value === null ? "" : typeof value === "string" ? value : JSON.stringify(value));
  return { head, rows: objects.map((object) => head.map((name) => cell(object[name]))), named: true };
}

// A line that is no object is shown as it stands: the trial says that it is wrong.
function objectOf(line) {
  try {
    const value = JSON.parse(line);
    return value && typeof value === "object" && !Array.isArray(value) ? value : { text: line };
  } catch {
    return { text: line };
  }
}

function peekCsv(text, most) {
  const comma = delimiter(text.split("\n", 1)[0].replaceAll(/"[^"]*"/g, ""));
  const rows = cells(text, comma, most + 1);
  const named = rows[0]?.some((cell) => ["text", "question"].includes(cell.trim().toLowerCase())); // as operations/files/columns.py has it
  const width = Math.max(1, ...rows.map((row) => row.length));
  const even = (row) => [...row, ...Array(width).fill("")].slice(0, width);
  const shown = rows.slice(named ? 1 : 0, most + (named ? 1 : 0));
  return { head: even(named ? rows[0] : ["text", "answer"]), rows: shown.map(even), named };
}

// What the first line is cut by: most often, outside of quotes.
const delimiter = (outside) => [",", ";", "\t", "|"].reduce((best, mark) => (outside.split(mark).length > outside.split(best).length ? mark : best));

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
    else cell += character;
  }
  rows.at(-1).push(cell);
  return rows.slice(0, most).filter((row) => row.some((each) => each.trim()));
}
