// Names of entries, as the program has them (hurnet_schemas/places.py): 2/89, or tickets/3/41#2 in another topic.

/** The name of an entry. */
export const placeOf = ({ topic, partition, offset, chunk }) =>
  `${topic ? `${topic}/` : ""}${partition}/${offset}${chunk ? `#${chunk}` : ""}`;

/** That of its record, by which it can be forgotten. */
export const recordOf = (entry) => placeOf({ ...entry, chunk: 0 });
