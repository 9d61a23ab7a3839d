"""The model ``nano``, in the folder beside this file that its id names."""
