"""How a message is worded and laid out for each service; text from outside made harmless."""
