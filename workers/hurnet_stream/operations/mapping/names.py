"""What the name of a field hints at. It decides nothing alone: what a field holds counts for more.

    question, pergunta, Betreff, 質問        a text
    title, text, body, Inhalt                a text, or whatever the object around them is
    answer, resposta, Lösung, intent, 回答   an answer, and so are reply_text and answer.body
    id, uuid, chave, answer_id               a key
    updated_at, erstellt                     a time

Names are compared without accents and in pieces: `ticketSubject`, `ticket_subject` and `Ticket-Subject` are
all "ticket", "subject". Names in other scripts are compared as unidecode spells them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

from unidecode import unidecode

Role = Literal["text", "words", "answer", "key", "time", "context", "weight"]
"""`words` is what may belong to a text as well as to an answer, such as a title."""

_STEMS: Final[dict[Role, str]] = {
    "text": (
        "question query subject utterance phrase prompt input ask pergunta assunto duvida consulta "
        "pregunta asunto frage betreff anfrage sujet demande domanda oggetto vraag onderwerp fraga amne "
        "pytanie temat vopros tema soru konu pertanyaan wen zhi jilmun suw'al sw'l sual"
    ),
    "words": (
        "title text message msg body content description titulo texto mensagem conteudo descricao mensaje "
        "contenido titel nachricht inhalt beschreibung titre texte contenu titolo testo messaggio tekst "
        "bericht omschrijving tresc soobshchenie metin mesaj judul"
    ),
    "answer": (
        "answer reply response resolution solution intent label output completion target outcome macro "
        "resposta solucao resolucao intencao respuesta solucion resolucion intencion antwort losung "
        "loesung absicht reponse resolution risposta soluzione antwoord oplossing svar losning odpowiedz "
        "rozwiazanie otvet reshenie cevap yanit cozum jawaban da hui dabbyeon jwb jawab"
    ),
    "key": "id uuid guid key pk ident identifier chave clave schlussel cle nummer number no",
    "time": (
        "time timestamp ts date at when created updated modified changed erstellt geandert datum data "
        "fecha criado atualizado occurred published"
    ),
    "context": (
        "tenant brand context workspace org organization organisation site shop market mandant loja inquilino"
    ),
    "weight": "weight votes likes upvotes helpful popularity rating hits peso gewicht",
}
_BY_STEM: Final = {stem: role for role, stems in reversed(_STEMS.items()) for stem in stems.split()}
_PIECES: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z']+|\d+")


_LAST_DECIDES: Final = ("key", "time", "weight")
"""What a name is about if its last piece says so: `answer_id`, `answered_at`."""


def hint(name: str, around: str = "") -> Role | None:
    """What a name hints at, given the name of the object that it is in; None if it is nothing."""
    own = _hint(name)
    return (
        _hint(around) or own
        if own == "words" and _hint(around) in ("answer", "text")
        else own or _hint(around)
    )


@lru_cache(maxsize=4096)
def _hint(name: str) -> Role | None:
    pieces = [piece.lower() for piece in _PIECES.findall(unidecode(name)[:200])]
    roles = [_BY_STEM.get(piece) or _BY_STEM.get(piece.removesuffix("s")) for piece in pieces]
    if roles and roles[-1] in _LAST_DECIDES:
        return roles[-1]
    return next((role for role in ("answer", "text", "words", "context") if role in roles), None)
