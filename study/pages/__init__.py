"""The pages that belong to no kind of exercise: Today, the five-minute review, Learn and Settings."""
