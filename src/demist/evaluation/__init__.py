"""Numbers one can trust: metrics on arrays and features, and an offline judge to make the features.

Nothing here knows about models or samplers; everything takes uint8 images, points or features.
"""
