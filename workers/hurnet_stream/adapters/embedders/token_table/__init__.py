"""`table`: a text as the sum of one row a token, for whom pace matters more than paraphrases.

The network of `use` reads a text's tokens together, in 250 µs. Here each token has a row of integers, made
once, and a text costs as many additions as it has tokens. With rows of two coordinates:

    token        ▁turn        ▁the       ▁light        s
    row          [90, -20]    [1, 2]     [40, 160]     [5, 8]
    text         "turn the lights"    [136, 150] in any order of additions, then unit length, on the grid

A row is `weight * features @ map`, rounded:

    features.py    1,024 integers of a token: its embedding in the package's table, and what the network says
                   of the token alone. Common tokens weigh less (Arora et al., "A simple but tough-to-beat
                   baseline for sentence embeddings", 2017)
    map.py         reads map.bin, which maps features onto the network's vectors of whole texts, and folds it
                   into rows
    make.py        makes map.bin from texts of many languages (texts.py): one ridge regression, in closed form
    table.py       the embedder

What is lost is the order of words and whatever else lies between tokens. Leading coordinates say most, so a
shorter row is the beginning of a longer one.
"""
