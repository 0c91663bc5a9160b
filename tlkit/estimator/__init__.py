"""Estimators for scikit-learn: they take paths, arrays and Pillow images."""
