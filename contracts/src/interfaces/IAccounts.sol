// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice Members' accounts in credits, and the one balance of the token that they, escrows, collaterals, reserved deposits
/// and dockets are parts of.
interface IAccounts {
    error UnknownMember(uint32 member);
    /// @notice Only a member's account moves credits out; a node key never does.
    error NotAnAccount(address sender);
    error InsufficientBalance(uint32 member, uint256 balance, uint256 needed);
    error BadRecipient(address to);
    /// @notice More credits than the ledgers' fields are wide for: 2^80 micro-credits in all.
    error TooMuch(uint256 total, uint256 limit);
    /// @notice Only the contract that the Directory lists in this one's place.
    error NotTheSuccessor(address sender);

    event Deposited(uint32 indexed member, address indexed from, uint256 amount);
    event Withdrawn(uint32 indexed member, address indexed to, uint256 amount);
    /// @notice Credits set aside for a demand, and given to a member after it.
    event Reserved(uint32 indexed member, uint256 amount);
    event Refunded(uint32 indexed member, uint256 amount);
    event HandedOver(address indexed successor, uint256 amount);

    /// @notice Pulls credits from the sender into a member's account. Anyone who approved them.
    function depositFor(uint32 member, uint256 amount) external;

    /// @notice Sends credits out. A member's account only, suspended or not.
    function withdraw(uint256 amount, address to) external;

    /// @notice Sets credits of a member's account aside. Demands only.
    function reserve(uint32 member, uint256 amount) external;

    /// @notice Gives credits that were set aside to a member: back, or as the price of an answer. Demands only.
    function refund(uint32 member, uint256 amount) external;

    /// @notice Sends all credits to the contract that the Directory now lists as Clearing, which calls this once and takes
    /// accounts, ledgers and dockets over from the views. Nobody else; nothing is written here afterwards.
    function handOver() external returns (uint256 amount);

    function balanceOf(uint32 member) external view returns (uint256);

    /// @notice Credits set aside for demands.
    function reserved() external view returns (uint256);

    /// @notice Sum of all accounts, escrows, collaterals, reserved credits and dockets: what this contract holds.
    function total() external view returns (uint256);
}
