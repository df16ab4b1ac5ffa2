"""Questions and answers written from the documents by a model of the user's choice, at build time
only, and sifted."""
