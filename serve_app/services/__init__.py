"""Work on texts by models: vectors, summaries, entities, scores. Prompts and the reading of answers, pure."""
