"""The scripts behind make: set-up, the house rules, the generated documentation. No part of the product."""
