"""The networks of the paper in Keras: encoder, binarizer, decoder, and the context model's twin.

Compressing and decompressing run the exported networks instead (``rgru_codec.runtime``).

"The paper" is Toderici et al., "Full Resolution Image Compression with Recurrent Neural
Networks", arXiv 1608.05148v2.
"""
