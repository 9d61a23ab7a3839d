"""The context model, which predicts each code from codes that are known (SPEC section 7).

One module for each part of the section: ``weights`` the integers (7.2), ``model`` all of them and
their bounds (7.5), ``file`` how they are stored (7.6), ``order`` which code comes when (7.3),
``evaluator`` the evaluation (7.4), in products that ``exact`` keeps exact, over ``tiles`` of the
grid, ``adaptation`` what is learned of a picture (7.7).
"""
