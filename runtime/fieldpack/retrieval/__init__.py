"""A question's passages: embedding, hybrid search, ranking, reranking."""
