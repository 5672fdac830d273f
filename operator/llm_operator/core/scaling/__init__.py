"""How many pods a deployment needs: from what its pods tell of their load, by what each of them was seen to carry."""
