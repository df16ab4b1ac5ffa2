"""The page of a source PDF as a picture, with the places of a quote on it: what `bundle.originals`
carries and the extra `fieldpack[pages]` draws. Knows nothing of HTTP."""
