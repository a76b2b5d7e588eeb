"""The ring-LWE mask of the schemes whose cost hardly grows with the model (PROTOCOL 4): hides a vector, and sums as its keys do.

`device` draws keys and masks, the only secret side. `parameters`, `ring` and `public` hold what everybody may compute: public
polynomials, products, the wire form, and taking the mask off a sum whose key is known.
May import `hushfleet.privacy` (the sampler) and the ground floor; the public modules of it only public modules.
"""
