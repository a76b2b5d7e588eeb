"""A throw-away scheme for the scheme contract: a plain masked sum with additive shares of the mask. No cryptographic claim.

It has everything that scheme `paillier` has not: a masked vector beside the body, a sealed share for every member, no key share,
a running sum that the bodies do not give. So it shows that nothing outside a scheme's folder and the registries knows schemes.
"""
