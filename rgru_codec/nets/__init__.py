"""The networks of the paper in Keras: encoder, binarizer, decoder, and the context model's twin.

The one room of ``rgru_codec`` that needs TensorFlow. Training and export import it; compressing
and decompressing run the exported networks instead (see :mod:`rgru_codec.runtime`).

"The paper" is Toderici et al., "Full Resolution Image Compression with Recurrent Neural
Networks", arXiv 1608.05148v2.
"""
