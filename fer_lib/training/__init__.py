"""How a network is trained: the protocol's fields, the loop and what it is made of; and the decision tree."""
